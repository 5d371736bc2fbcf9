// SPDX-License-Identifier: Apache-2.0
#include "serve/models/model_store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

#include "core/base/log.h"
#include "serve/models/store_state.h"
#include "serve/models/version_loader.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// Copies of a status share a counter, which Abseil's library takes down where ThreadSanitizer does not see it.
absl::Status own_copy(const absl::Status& status) { return absl::Status(status.code(), status.message()); }

absl::Status not_ready(const ModelSelector& selector, const StoredVersion& version) {
  if (!version.status.ok()) {
    return absl::UnavailableError(fmt::format("{}: version {} did not load: {}", describe(selector),
                                              version.wanted.version, std::string(version.status.message())));
  }
  return absl::UnavailableError(fmt::format("{}: version {} is in state {}: try again later", describe(selector),
                                            version.wanted.version, version_state_name(version.state)));
}

absl::Status not_found(const ModelSelector& selector, const std::string& why) {
  return absl::NotFoundError(fmt::format("Servable not found for request: {}{}", describe(selector), why));
}

std::string what_is_meant(const ModelSelector& selector) {
  if (selector.version) return fmt::format("version {}", *selector.version);
  return selector.label.empty() ? "any versions" : "label " + selector.label;
}

// ": what its source tells of it", of a model without versions that are wanted.
std::string why_empty(const StoredModel& model) {
  const bool has_any = std::ranges::any_of(model.versions, [](const auto& each) { return each.second.is_wanted; });
  return has_any || !model.is_wanted || model.without_versions.empty() ? "" : ": " + model.without_versions;
}

// ". Versions here: 3 (stable), 1", of a model with versions that answer; those of many that come first.
std::string which_answer(const StoredModel& model) {
  constexpr size_t kMost = 20;
  std::vector<std::string> names;
  for (auto at = model.versions.rbegin(); at != model.versions.rend(); ++at) {
    const std::string& label = at->second.wanted.label;
    if (at->second.servable == nullptr) continue;
    names.push_back(names.size() == kMost ? "…"
                                          : fmt::format("{}{}", at->first, label.empty() ? "" : " (" + label + ")"));
    if (names.size() > kMost) break;
  }
  return names.empty() ? "" : fmt::format(". Versions here: {}", fmt::join(names, ", "));
}

// Why what was asked for is not there, and what is.
std::string instead(const StoredModel& model) { return why_empty(model) + which_answer(model); }

}  // namespace

class ModelStore::Impl {
 public:
  explicit Impl(const StoreOptions& options) : state_(options), loader_(state_) {}

  absl::StatusOr<std::shared_ptr<Servable>> find(const ModelSelector& selector) const {
    const std::shared_ptr<const ServedModels> served = state_.snapshot();
    const auto model = served->find(selector.model);
    if (model != served->end()) {
      if (auto servable = model->second.pick(selector)) return servable;
    }
    // Wanted, but not there: why.
    const std::lock_guard lock(state_.mutex);
    const auto stored = state_.models.find(selector.model);
    if (stored == state_.models.end()) return not_found(selector, "");
    const StoredVersion* const version = awaited(stored->second, selector);
    if (version != nullptr) return not_ready(selector, *version);
    return not_found(selector, instead(stored->second));
  }

  absl::StatusOr<std::vector<VersionStatus>> status(const ModelSelector& selector) const {
    const std::lock_guard lock(state_.mutex);
    const auto model = state_.models.find(selector.model);
    std::vector<VersionStatus> result;
    if (model != state_.models.end()) {
      const std::shared_ptr<Servable> standard = default_of(model->second);
      const bool is_named = selector.version || !selector.label.empty();
      for (auto at = model->second.versions.rbegin(); at != model->second.versions.rend(); ++at) {
        const StoredVersion& version = at->second;
        if (!matches(selector, version) || (is_named && version.is_deleted)) continue;
        result.push_back({at->first, version.wanted.label, version.state, own_copy(version.status),
                          standard != nullptr && version.servable == standard, version.wanted.path});
      }
    }
    if (result.empty()) {
      return absl::NotFoundError(fmt::format("Could not find {} of model {}{}", what_is_meant(selector), selector.model,
                                             model == state_.models.end() ? "" : instead(model->second)));
    }
    return result;
  }

  std::vector<std::string> models() const {
    const std::lock_guard lock(state_.mutex);
    std::vector<std::string> names;
    for (const auto& [name, model] : state_.models) names.push_back(name);
    return names;
  }

  bool ready() const {
    const std::lock_guard lock(state_.mutex);
    return !state_.is_draining && all_answer(state_.models, state_.has_been_ready);
  }

  void set_wanted(const std::string& source, std::vector<WantedModel> models) {
    {
      const std::lock_guard lock(state_.mutex);
      wanted_[source] = std::move(models);
      merge_wanted();
      state_.publish();
    }
    state_.changed.notify_all();
  }

  bool drain(std::chrono::milliseconds bound) {
    std::unique_lock lock(state_.mutex);
    state_.is_draining = true;
    state_.changed.notify_all();
    const Clock::time_point by = Clock::now() + bound;
    while (state_.running() > 0 && Clock::now() < by) {
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      lock.lock();
    }
    return state_.running() == 0;
  }

 private:
  void merge_wanted() {
    for (auto& [name, model] : state_.models) {
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
        want(state_.models, wanted);
      }
    }
  }

  StoreState state_;
  std::map<std::string, std::vector<WantedModel>> wanted_;  // by source; guarded by the state's mutex
  VersionLoader loader_;
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
