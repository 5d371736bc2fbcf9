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
#include "serve/models/stored_model.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// How often the loader looks for versions that have drained, failed ones whose files have changed, and retries.
constexpr std::chrono::milliseconds kLookEvery{100};

// The wait after files of a broken version have come to rest, and its doubling: a directory that is being copied file
// by file is not read again and again.
constexpr std::chrono::milliseconds kFirstWait{100}, kLongestWait{5000};

std::chrono::milliseconds wait_after_change(int changes) {
  constexpr int kMostDoublings = 10;
  return std::min(kFirstWait * (1 << std::min(changes, kMostDoublings)), kLongestWait);
}

// Copies of a status share a counter, which Abseil's library takes down where ThreadSanitizer does not see it.
absl::Status own_copy(const absl::Status& status) { return absl::Status(status.code(), status.message()); }

}  // namespace

class ModelStore::Impl {
 public:
  explicit Impl(const StoreOptions& options) : options_(options), served_(std::make_shared<const ServedModels>()) {
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
    const std::shared_ptr<const ServedModels> served = snapshot();
    const auto model = served->find(selector.model);
    if (model != served->end()) {
      if (auto servable = model->second.pick(selector)) return servable;
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
        const StoredVersion& version = at->second;
        if (!matches(selector, version)) continue;
        result.push_back({at->first, version.wanted.label, version.state, own_copy(version.status),
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
    bool is_any_there = false;
    for (const auto& [name, model] : models_) {
      const bool is_there = default_of(model) != nullptr;
      const bool is_awaited =
          std::ranges::any_of(model.versions, [](const auto& each) { return each.second.is_wanted; });
      if (is_awaited && !is_there) return false;
      is_any_there |= is_there;
    }
    return is_any_there && !draining_;
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
  static absl::Status not_ready(const ModelSelector& selector, const StoredVersion& version) {
    if (!version.status.ok()) {
      return absl::UnavailableError(fmt::format("{}: version {} did not load: {}", describe(selector),
                                                version.wanted.version, std::string(version.status.message())));
    }
    return absl::UnavailableError(fmt::format("{}: version {} is in state {}: try again later", describe(selector),
                                              version.wanted.version, version_state_name(version.state)));
  }

  std::shared_ptr<const ServedModels> snapshot() const {
    const std::lock_guard lock(served_mutex_);
    return served_;
  }

  // The rest under the lock, which those that take it let go of while they work.

  void publish() {
    auto served = std::make_shared<const ServedModels>(served_of(models_));
    const std::lock_guard lock(served_mutex_);
    served_.swap(served);
  }

  int64_t running() const {
    int64_t sum = 0;
    for (const auto& [name, model] : models_) {
      for (const auto& [number, version] : model.versions) sum += version.servable ? version.servable->running() : 0;
    }
    for (const auto& servable : retired_) sum += servable->running();
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
        want(models_, wanted);
      }
    }
  }

  // The thread that loads and unloads.
  void keep_up() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (!draining_) {
        look_at_failed(lock);
        load_next(lock);
      }
      if (unload(lock)) continue;
      if (!stopping_ && (draining_ || !next_to_load())) changed_.wait_for(lock, kLookEvery);
    }
  }

  // Versions whose files have changed since they failed, and have come to rest, are tried anew.
  void look_at_failed(std::unique_lock<std::mutex>& lock) {
    const Clock::time_point now = Clock::now();
    if (now < next_look_) return;
    next_look_ = now + kLookEvery;
    std::vector<std::pair<std::string, WantedVersion>> failed;
    for (const auto& [name, model] : models_) {
      for (const auto& [number, version] : model.versions) {
        if (version.is_wanted && !version.status.ok()) failed.emplace_back(name, version.wanted);
      }
    }
    for (const auto& [name, wanted] : failed) {
      lock.unlock();
      std::string stamp = directory_stamp(wanted.path);
      lock.lock();
      // May have become unwanted, or another, meanwhile.
      StoredVersion* version = find_version(name, wanted);
      if (version != nullptr && !version->status.ok()) note_stamp(*version, std::move(stamp));
    }
  }

  static void note_stamp(StoredVersion& version, std::string stamp) {
    if (stamp != version.stamp) {
      version.is_changing = true;
      version.stamp = std::move(stamp);
    } else if (version.is_changing) {
      version.is_changing = false;
      version.tries = 0;
      version.next_try = Clock::now() + wait_after_change(version.changes++);
    }
  }

  // Null unless the version is there with the same path.
  StoredVersion* find_version(const std::string& name, const WantedVersion& wanted) {
    const auto model = models_.find(name);
    if (model == models_.end()) return nullptr;
    const auto version = model->second.versions.find(wanted.version);
    const bool is_there = version != model->second.versions.end() && version->second.wanted.path == wanted.path;
    return is_there ? &version->second : nullptr;
  }

  struct ToLoad {
    std::string model;
    StoredVersion* version = nullptr;
  };

  std::optional<ToLoad> next_to_load() {
    const Clock::time_point now = Clock::now();
    for (auto& [name, model] : models_) {
      for (auto at = model.versions.rbegin(); at != model.versions.rend(); ++at) {
        if (should_load(at->second, options_.max_load_retries, now)) return ToLoad{name, &at->second};
      }
    }
    return std::nullopt;
  }

  void load_next(std::unique_lock<std::mutex>& lock) {
    const std::optional<ToLoad> next = next_to_load();
    if (!next) return;
    const std::string model = next->model;
    const WantedVersion wanted = next->version->wanted;
    if (next->version->servable == nullptr) next->version->state = VersionState::kLoading;
    ++next->version->tries;
    lock.unlock();
    const std::string stamp = directory_stamp(wanted.path);
    const Clock::time_point start = Clock::now();
    auto servable = Servable::load({model, wanted.version, wanted.label}, wanted.path, options_.servable);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
    lock.lock();
    loaded(model, wanted, stamp, took, servable);
  }

  // What is left in `servable` goes with the caller.
  void loaded(const std::string& name, const WantedVersion& wanted, const std::string& stamp, int64_t took_ms,
              absl::StatusOr<std::shared_ptr<Servable>>& servable) {
    StoredVersion* const found = find_version(name, wanted);
    if (found == nullptr) return;  // the source has changed its mind
    StoredVersion& version = *found;
    if (!version.is_wanted) {
      // It must not take over, not even for a moment. One that it was to replace drains.
      if (version.servable == nullptr) version.state = VersionState::kEnd;
      return;
    }
    version.status = servable.status();
    if (!servable.ok()) return failed(name, version, stamp);
    const std::shared_ptr<Servable> before = default_of(models_[name]);
    version.state = VersionState::kAvailable;
    version.tries = version.changes = 0;
    version.servable.swap(*servable);
    if (*servable != nullptr) retired_.push_back(*std::move(servable));
    publish();
    LOG_INFO("Serving {} ({}): loaded and warmed in {} ms{}", version_name(name, wanted), wanted.path, took_ms,
             what_it_replaces(name, before));
  }

  // "; draining version 1 (3 requests)"
  std::string what_it_replaces(const std::string& name, const std::shared_ptr<Servable>& before) {
    const StoredModel& model = models_[name];
    if (before == nullptr || before == default_of(model)) return "";
    const auto old = model.versions.find(before->id().version);
    const bool goes = old == model.versions.end() || !old->second.is_wanted || old->second.servable != before;
    return goes ? fmt::format("; draining version {} ({} requests)", before->id().version, before->running()) : "";
  }

  void failed(const std::string& name, StoredVersion& version, const std::string& stamp) {
    if (version.servable == nullptr) version.state = VersionState::kEnd;
    version.stamp = stamp;
    version.is_changing = false;
    version.next_try = Clock::now() + options_.load_retry_interval;
    const std::shared_ptr<Servable> standard = default_of(models_[name]);
    LOG_ERROR("{} does not load (try {} of {}): {}{}", version_name(name, version.wanted), version.tries,
              options_.max_load_retries + 1, std::string(version.status.message()),
              standard ? fmt::format("; version {} goes on serving", standard->id().version) : "");
  }

  // True when something has changed.
  bool unload(std::unique_lock<std::mutex>& lock) {
    std::vector<std::shared_ptr<Servable>> gone;
    bool is_changed = false;
    for (auto model = models_.begin(); model != models_.end();) {
      is_changed |= unload_versions(model->first, model->second, gone);
      const bool is_over = !model->second.is_wanted && model->second.versions.empty();
      model = is_over ? models_.erase(model) : std::next(model);
    }
    for (auto& servable : retired_) {
      if (is_ours_alone(servable)) gone.push_back(std::move(servable));
    }
    std::erase(retired_, nullptr);
    if (is_changed) publish();
    if (gone.empty()) return is_changed;
    lock.unlock();
    gone.clear();
    // Weights and activations of the version that went are the system's again.
    malloc_trim(0);
    lock.lock();
    return true;
  }

  // Moves the servables of versions that have drained to `gone`. True when there is one less that answers.
  bool unload_versions(const std::string& name, StoredModel& model, std::vector<std::shared_ptr<Servable>>& gone) {
    bool is_changed = false;
    const bool may_go = may_unload(model);
    for (auto at = model.versions.begin(); at != model.versions.end();) {
      StoredVersion& version = at->second;
      if (!version.is_wanted && version.state == VersionState::kAvailable && may_go) {
        version.state = VersionState::kUnloading;
        version.unload_by = Clock::now() + options_.unload_bound;
        is_changed = true;
      }
      if (version.state == VersionState::kUnloading && is_drained(name, version)) {
        gone.push_back(std::move(version.servable));
        version.state = VersionState::kEnd;
      }
      const bool is_over = version.state == VersionState::kEnd || version.state == VersionState::kStart;
      at = !version.is_wanted && is_over ? model.versions.erase(at) : std::next(at);
    }
    return is_changed;
  }

  // No request runs, and none that has found it is about to: those hold it. What nobody holds, nobody can get.
  static bool is_ours_alone(const std::shared_ptr<Servable>& servable) {
    return servable->running() == 0 && servable.use_count() == 1;
  }

  bool is_drained(const std::string& name, const StoredVersion& version) const {
    if (!is_ours_alone(version.servable)) {
      if (Clock::now() < version.unload_by) return false;
      LOG_WARNING("{}: {} requests still run after {} ms", version_name(name, version.wanted),
                  version.servable->running(), options_.unload_bound.count());
    }
    LOG_INFO("Unloaded {}", version_name(name, version.wanted));
    return true;
  }

  const StoreOptions options_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  StoredModels models_;
  std::map<std::string, std::vector<WantedModel>> wanted_;  // by source
  std::vector<std::shared_ptr<Servable>> retired_;          // others of their number have taken over
  bool stopping_ = false, draining_ = false;

  mutable std::mutex served_mutex_;  // guards the pointer; taken last, for no longer than a copy
  std::shared_ptr<const ServedModels> served_;

  Clock::time_point next_look_;  // of the loader
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
