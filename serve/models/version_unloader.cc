// SPDX-License-Identifier: Apache-2.0
#include "serve/models/version_unloader.h"

#include <malloc.h>

#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/log.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// No request runs, and none that has found it is about to: those hold it. What nobody holds, nobody can get.
bool is_ours_alone(const std::shared_ptr<Servable>& servable) {
  return servable->running() == 0 && servable.use_count() == 1;
}

bool is_drained(const StoreState& state, const std::string& name, const StoredVersion& version) {
  if (!is_ours_alone(version.servable)) {
    if (Clock::now() < version.unload_by) return false;
    LOG_WARNING("{}: {} requests still run after {} ms", version_name(name, version.wanted),
                version.servable->running(), state.options.unload_bound.count());
  }
  LOG_INFO("Unloaded {}", version_name(name, version.wanted));
  return true;
}

// Moves the servables of versions that have drained to `gone`. True when there is one less that answers.
bool unload_versions_of(StoreState& state, const std::string& name, StoredModel& model,
                        std::vector<std::shared_ptr<Servable>>& gone) {
  bool is_changed = false;
  for (auto at = model.versions.begin(); at != model.versions.end();) {
    StoredVersion& version = at->second;
    if (!version.is_wanted && version.state == VersionState::kAvailable && may_unload(model, version)) {
      version.state = VersionState::kUnloading;
      version.unload_by = Clock::now() + state.options.unload_bound;
      is_changed = true;
    }
    if (version.state == VersionState::kUnloading && is_drained(state, name, version)) {
      gone.push_back(std::move(version.servable));
      version.state = VersionState::kEnd;
    }
    const bool is_over = version.state == VersionState::kEnd || version.state == VersionState::kStart;
    at = !version.is_wanted && is_over ? model.versions.erase(at) : std::next(at);
  }
  return is_changed;
}

}  // namespace

bool unload_versions(StoreState& state, std::unique_lock<std::mutex>& lock) {
  std::vector<std::shared_ptr<Servable>> gone;
  bool is_changed = false;
  for (auto model = state.models.begin(); model != state.models.end();) {
    is_changed |= unload_versions_of(state, model->first, model->second, gone);
    const bool is_over = !model->second.is_wanted && model->second.versions.empty();
    model = is_over ? state.models.erase(model) : std::next(model);
  }
  for (auto& servable : state.retired) {
    if (is_ours_alone(servable)) gone.push_back(std::move(servable));
  }
  std::erase(state.retired, nullptr);
  if (is_changed) state.publish();
  if (gone.empty()) return is_changed;
  lock.unlock();
  gone.clear();
  // Weights and activations of the version that went are the system's again.
  malloc_trim(0);
  lock.lock();
  return true;
}

}  // namespace lockstep
