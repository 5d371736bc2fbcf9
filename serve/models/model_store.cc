// SPDX-License-Identifier: Apache-2.0
#include "serve/models/model_store.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "core/base/log.h"
#include "serve/models/directory_stamp.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// How often the loader looks for versions that have drained, failed ones whose files have changed, and retries.
constexpr std::chrono::milliseconds kLookEvery{100};

struct Version {
  WantedVersion wanted;
  bool is_wanted = true;
  VersionState state = VersionState::kStart;
  absl::Status status;
  std::shared_ptr<Servable> servable;  // while it is available, or drains
  int tries = 0;
  Clock::time_point next_try;  // of a version that failed
  Clock::time_point unload_by;
  std::string stamp;  // of its files when it failed
};

struct StoredModel {
  std::map<int64_t, Version> versions;
  std::optional<int64_t> wanted_default;
  bool is_wanted = true;
};

using Models = std::map<std::string, StoredModel, std::less<>>;

// What find() looks at: replaced whole at every change.
struct ServedModel {
  std::map<int64_t, std::shared_ptr<Servable>> by_version;
  std::map<std::string, std::shared_ptr<Servable>, std::less<>> by_label;
  std::shared_ptr<Servable> standard;
};
using Served = std::map<std::string, ServedModel, std::less<>>;

std::string name_of(const std::string& model, const WantedVersion& version) {
  return version.label.empty() ? fmt::format("version {} of model {}", version.version, model)
                               : fmt::format("version {} ({}) of model {}", version.version, version.label, model);
}

std::shared_ptr<Servable> default_of(const StoredModel& model) {
  const auto is_served = [](const Version& version) { return version.state == VersionState::kAvailable; };
  if (model.wanted_default) {
    const auto found = model.versions.find(*model.wanted_default);
    if (found != model.versions.end() && is_served(found->second)) return found->second.servable;
  }
  for (auto at = model.versions.rbegin(); at != model.versions.rend(); ++at) {
    if (is_served(at->second)) return at->second.servable;
  }
  return nullptr;
}

Served served_of(const Models& models) {
  Served served;
  for (const auto& [name, model] : models) {
    ServedModel& entry = served[name];
    entry.standard = default_of(model);
    for (const auto& [number, version] : model.versions) {
      if (version.state != VersionState::kAvailable) continue;
      entry.by_version[number] = version.servable;
      if (!version.wanted.label.empty()) entry.by_label[version.wanted.label] = version.servable;
    }
  }
  return served;
}

std::string describe(const ModelSelector& selector) {
  if (selector.version) return fmt::format("Specific({}, {})", selector.model, *selector.version);
  if (!selector.label.empty()) return fmt::format("Label({}, {})", selector.model, selector.label);
  return fmt::format("Latest({})", selector.model);
}

bool matches(const ModelSelector& selector, const Version& version) {
  if (selector.version) return version.wanted.version == *selector.version;
  return selector.label.empty() || version.wanted.label == selector.label;
}

}  // namespace

std::string_view version_state_name(VersionState state) {
  switch (state) {
    case VersionState::kUnknown:
      return "UNKNOWN";
    case VersionState::kStart:
      return "START";
    case VersionState::kLoading:
      return "LOADING";
    case VersionState::kAvailable:
      return "AVAILABLE";
    case VersionState::kUnloading:
      return "UNLOADING";
    case VersionState::kEnd:
      return "END";
  }
  return "UNKNOWN";
}

class ModelStore::Impl {
 public:
  explicit Impl(const StoreOptions& options) : options_(options), served_(std::make_shared<const Served>()) {
    loader_ = std::thread([this] { keep_up(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    loader_.join();
  }

  absl::StatusOr<std::shared_ptr<Servable>> find(const ModelSelector& selector) const {
    const std::shared_ptr<const Served> served = snapshot();
    const auto model = served->find(selector.model);
    if (model != served->end()) {
      if (auto servable = pick(model->second, selector)) return servable;
    }
    // Wanted, but not there: why.
    const std::lock_guard lock(mutex_);
    const auto stored = models_.find(selector.model);
    if (stored != models_.end()) {
      for (const auto& [number, version] : stored->second.versions) {
        if (version.is_wanted && matches(selector, version)) return not_ready(selector, version);
      }
    }
    return absl::NotFoundError(fmt::format("Servable not found for request: {}", describe(selector)));
  }

  absl::StatusOr<std::vector<VersionStatus>> status(const ModelSelector& selector) const {
    const std::lock_guard lock(mutex_);
    const auto model = models_.find(selector.model);
    std::vector<VersionStatus> result;
    if (model != models_.end()) {
      const std::shared_ptr<Servable> standard = default_of(model->second);
      for (auto at = model->second.versions.rbegin(); at != model->second.versions.rend(); ++at) {
        const Version& version = at->second;
        if (!matches(selector, version)) continue;
        result.push_back({at->first, version.wanted.label, version.state, version.status,
                          standard != nullptr && version.servable == standard, version.wanted.path});
      }
    }
    if (result.empty()) {
      return absl::NotFoundError(fmt::format("Could not find any versions of model {}", selector.model));
    }
    return result;
  }

  std::vector<std::string> models() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, model] : models_) names.push_back(name);
    return names;
  }

  bool ready() const {
    const std::lock_guard lock(mutex_);
    return !draining_ && !models_.empty() && std::all_of(models_.begin(), models_.end(), [](const auto& model) {
      return default_of(model.second) != nullptr;
    });
  }

  void set_wanted(const std::string& source, std::vector<WantedModel> models) {
    {
      const std::lock_guard lock(mutex_);
      wanted_[source] = std::move(models);
      merge_wanted();
      publish();
    }
    changed_.notify_all();
  }

  bool drain(std::chrono::milliseconds bound) {
    std::unique_lock lock(mutex_);
    draining_ = true;
    changed_.notify_all();
    const Clock::time_point by = Clock::now() + bound;
    while (running() > 0 && Clock::now() < by) {
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      lock.lock();
    }
    return running() == 0;
  }

 private:
  static std::shared_ptr<Servable> pick(const ServedModel& model, const ModelSelector& selector) {
    if (selector.version) {
      const auto found = model.by_version.find(*selector.version);
      return found == model.by_version.end() ? nullptr : found->second;
    }
    if (selector.label.empty()) return model.standard;
    const auto found = model.by_label.find(selector.label);
    return found == model.by_label.end() ? nullptr : found->second;
  }

  static absl::Status not_ready(const ModelSelector& selector, const Version& version) {
    if (!version.status.ok()) {
      return absl::UnavailableError(fmt::format("{}: version {} did not load: {}", describe(selector),
                                                version.wanted.version, std::string(version.status.message())));
    }
    return absl::UnavailableError(fmt::format("{}: version {} is in state {}: try again later", describe(selector),
                                              version.wanted.version, version_state_name(version.state)));
  }

  std::shared_ptr<const Served> snapshot() const {
    const std::lock_guard lock(served_mutex_);
    return served_;
  }

  // The rest under the lock, but for load().

  void publish() {
    auto served = std::make_shared<const Served>(served_of(models_));
    const std::lock_guard lock(served_mutex_);
    served_.swap(served);
  }

  int64_t running() const {
    int64_t sum = 0;
    for (const auto& [name, model] : models_) {
      for (const auto& [number, version] : model.versions) sum += version.servable ? version.servable->running() : 0;
    }
    return sum;
  }

  void merge_wanted() {
    for (auto& [name, model] : models_) {
      model.is_wanted = false;
      for (auto& [number, version] : model.versions) version.is_wanted = false;
    }
    std::map<std::string, std::string> taken_by;  // model to source
    for (const auto& [source, models] : wanted_) {
      for (const WantedModel& wanted : models) {
        const auto [taken, is_first] = taken_by.emplace(wanted.name, source);
        if (!is_first) {
          LOG_WARNING("model {} of {} is passed over: {} has one of this name", wanted.name, source, taken->second);
          continue;
        }
        want(wanted);
      }
    }
  }

  void want(const WantedModel& wanted) {
    StoredModel& model = models_[wanted.name];
    model.is_wanted = true;
    model.wanted_default = wanted.default_version;
    for (const WantedVersion& each : wanted.versions) {
      Version& version = model.versions[each.version];
      version.is_wanted = true;
      if (version.state == VersionState::kUnloading && version.servable) version.state = VersionState::kAvailable;
      if (version.servable == nullptr && version.wanted.path != each.path) version = Version();
      version.wanted = each;
    }
  }

  // The thread that loads and unloads.
  void keep_up() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (!draining_) load_next(lock);
      if (unload(lock)) continue;
      if (!stopping_ && (draining_ || !next_to_load())) changed_.wait_for(lock, kLookEvery);
    }
  }

  struct ToLoad {
    std::string model;
    Version* version = nullptr;
  };

  // A wanted version that has not been tried, or whose time has come again.
  std::optional<ToLoad> next_to_load() {
    const Clock::time_point now = Clock::now();
    for (auto& [name, model] : models_) {
      for (auto at = model.versions.rbegin(); at != model.versions.rend(); ++at) {
        Version& version = at->second;
        if (!version.is_wanted || version.servable != nullptr) continue;
        if (version.state == VersionState::kEnd && !may_try_again(version, now)) continue;
        return ToLoad{name, &version};
      }
    }
    return std::nullopt;
  }

  bool may_try_again(Version& version, Clock::time_point now) const {
    if (directory_stamp(version.wanted.path) != version.stamp) {
      version.tries = 0;
      return true;
    }
    return version.tries <= options_.max_load_retries && version.next_try <= now;
  }

  void load_next(std::unique_lock<std::mutex>& lock) {
    const std::optional<ToLoad> next = next_to_load();
    if (!next) return;
    const std::string model = next->model;
    const WantedVersion wanted = next->version->wanted;
    next->version->state = VersionState::kLoading;
    ++next->version->tries;
    lock.unlock();
    const std::string stamp = directory_stamp(wanted.path);
    const Clock::time_point start = Clock::now();
    auto servable = Servable::load({model, wanted.version, wanted.label}, wanted.path, options_.servable);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
    lock.lock();
    loaded(model, wanted, stamp, took, std::move(servable));
  }

  void loaded(const std::string& name, const WantedVersion& wanted, const std::string& stamp, int64_t took_ms,
              absl::StatusOr<std::shared_ptr<Servable>> servable) {
    Version& version = models_[name].versions[wanted.version];  // never erased while it loads
    if (version.wanted.path != wanted.path) return;             // the source has changed its mind
    version.status = servable.status();
    if (servable.ok()) {
      version.state = VersionState::kAvailable;
      version.servable = *std::move(servable);
      version.tries = 0;
      LOG_INFO("Serving {} ({}): loaded and warmed in {} ms", name_of(name, wanted), wanted.path, took_ms);
      publish();
      return;
    }
    version.state = VersionState::kEnd;
    version.stamp = stamp;
    version.next_try = Clock::now() + options_.load_retry_interval;
    const std::shared_ptr<Servable> standard = default_of(models_[name]);
    LOG_ERROR("{} does not load (try {} of {}): {}{}", name_of(name, wanted), version.tries,
              options_.max_load_retries + 1, std::string(version.status.message()),
              standard ? fmt::format("; version {} goes on serving", standard->id().version) : "");
  }

  // Whether what is wanted instead of this model's unwanted versions is there, or nothing is.
  static bool may_unload(const StoredModel& model) {
    if (!model.is_wanted) return true;
    bool is_any_available = false, is_any_pending = false;
    for (const auto& [number, version] : model.versions) {
      if (!version.is_wanted) continue;
      is_any_available |= version.state == VersionState::kAvailable;
      is_any_pending |= version.state == VersionState::kStart || version.state == VersionState::kLoading;
    }
    return is_any_available && !is_any_pending;
  }

  // True when something has changed.
  bool unload(std::unique_lock<std::mutex>& lock) {
    std::vector<std::shared_ptr<Servable>> gone;
    bool is_changed = false;
    for (auto model = models_.begin(); model != models_.end();) {
      auto& versions = model->second.versions;
      const bool may_go = may_unload(model->second);
      for (auto at = versions.begin(); at != versions.end();) {
        Version& version = at->second;
        if (!version.is_wanted && version.state == VersionState::kAvailable && may_go) {
          start_unloading(model->first, version);
          is_changed = true;
        }
        if (version.state == VersionState::kUnloading && is_drained(model->first, version)) {
          gone.push_back(std::move(version.servable));
          version.state = VersionState::kEnd;
        }
        const bool is_over = version.state == VersionState::kEnd || version.state == VersionState::kStart;
        at = !version.is_wanted && is_over ? versions.erase(at) : std::next(at);
      }
      model = !model->second.is_wanted && versions.empty() ? models_.erase(model) : std::next(model);
    }
    if (is_changed) publish();
    if (gone.empty()) return is_changed;
    lock.unlock();
    gone.clear();
    // Weights and activations of the version that went are the system's again.
    malloc_trim(0);
    lock.lock();
    return true;
  }

  void start_unloading(const std::string& model, Version& version) {
    version.state = VersionState::kUnloading;
    version.unload_by = Clock::now() + options_.unload_bound;
    LOG_INFO("Draining {} ({} requests run)", name_of(model, version.wanted), version.servable->running());
  }

  // A request may still be about to start: it holds the servable, which then lives as long.
  bool is_drained(const std::string& model, const Version& version) const {
    const int64_t running = version.servable->running();
    if (running > 0 && Clock::now() < version.unload_by) return false;
    if (running > 0) {
      LOG_WARNING("{}: {} requests still run after {} ms", name_of(model, version.wanted), running,
                  options_.unload_bound.count());
    }
    LOG_INFO("Unloaded {}", name_of(model, version.wanted));
    return true;
  }

  const StoreOptions options_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  Models models_;
  std::map<std::string, std::vector<WantedModel>> wanted_;  // by source
  bool stopping_ = false, draining_ = false;

  mutable std::mutex served_mutex_;  // guards the pointer; taken last, for no longer than a copy
  std::shared_ptr<const Served> served_;

  std::thread loader_;
};

ModelStore::ModelStore(const StoreOptions& options) : impl_(std::make_unique<Impl>(options)) {}
ModelStore::~ModelStore() = default;
absl::StatusOr<std::shared_ptr<Servable>> ModelStore::find(const ModelSelector& selector) const {
  return impl_->find(selector);
}
absl::StatusOr<std::vector<VersionStatus>> ModelStore::status(const ModelSelector& selector) const {
  return impl_->status(selector);
}
std::vector<std::string> ModelStore::models() const { return impl_->models(); }
bool ModelStore::ready() const { return impl_->ready(); }
void ModelStore::set_wanted(const std::string& source, std::vector<WantedModel> models) {
  impl_->set_wanted(source, std::move(models));
}
bool ModelStore::drain(std::chrono::milliseconds bound) { return impl_->drain(bound); }

}  // namespace lockstep
