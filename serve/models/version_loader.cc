// SPDX-License-Identifier: Apache-2.0
#include "serve/models/version_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/log.h"
#include "serve/models/directory_stamp.h"
#include "serve/models/version_unloader.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// How often it looks for versions that have drained, failed ones whose files have changed, and retries.
constexpr std::chrono::milliseconds kLookEvery{100};

// The wait after files of a broken version have come to rest, and its doubling: a directory that is being copied file
// by file is not read again and again.
constexpr std::chrono::milliseconds kFirstWait{100}, kLongestWait{5000};

std::chrono::milliseconds wait_after_change(int changes) {
  constexpr int kMostDoublings = 10;
  return std::min(kFirstWait * (1 << std::min(changes, kMostDoublings)), kLongestWait);
}

void note_stamp(StoredVersion& version, std::string stamp) {
  if (stamp != version.stamp) {
    version.is_changing = true;
    version.stamp = std::move(stamp);
  } else if (version.is_changing) {
    version.is_changing = false;
    version.tries = 0;
    version.next_try = Clock::now() + wait_after_change(version.changes++);
  }
}

}  // namespace

VersionLoader::VersionLoader(StoreState& state) : state_(state) {
  thread_ = std::thread([this] { keep_up(); });
}

VersionLoader::~VersionLoader() {
  {
    const std::lock_guard lock(state_.mutex);
    state_.is_stopping = true;
  }
  state_.changed.notify_all();
  thread_.join();
}

// The thread that loads and unloads.
void VersionLoader::keep_up() {
  Lock lock(state_.mutex);
  while (!state_.is_stopping) {
    if (!state_.is_draining) {
      look_at_failed(lock);
      load_next(lock);
    }
    if (unload_versions(state_, lock)) continue;
    if (!state_.is_stopping && (state_.is_draining || !next_to_load())) state_.changed.wait_for(lock, kLookEvery);
  }
}

// Versions whose files have changed since they failed, and have come to rest, are tried anew.
void VersionLoader::look_at_failed(Lock& lock) {
  const Clock::time_point now = Clock::now();
  if (now < next_look_) return;
  next_look_ = now + kLookEvery;
  std::vector<std::pair<std::string, WantedVersion>> failed;
  for (const auto& [name, model] : state_.models) {
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

// Null unless the version is there with the same path.
StoredVersion* VersionLoader::find_version(const std::string& name, const WantedVersion& wanted) {
  const auto model = state_.models.find(name);
  if (model == state_.models.end()) return nullptr;
  const auto version = model->second.versions.find(wanted.version);
  const bool is_there = version != model->second.versions.end() && version->second.wanted.path == wanted.path;
  return is_there ? &version->second : nullptr;
}

std::optional<VersionLoader::ToLoad> VersionLoader::next_to_load() {
  const Clock::time_point now = Clock::now();
  for (auto& [name, model] : state_.models) {
    const auto standard = model.versions.find(model.wanted_default.value_or(-1));
    if (standard != model.versions.end() && should_load(standard->second, state_.options.max_load_retries, now)) {
      return ToLoad{name, &standard->second};
    }
    for (auto at = model.versions.rbegin(); at != model.versions.rend(); ++at) {
      if (should_load(at->second, state_.options.max_load_retries, now)) return ToLoad{name, &at->second};
    }
  }
  return std::nullopt;
}

void VersionLoader::load_next(Lock& lock) {
  const std::optional<ToLoad> next = next_to_load();
  if (!next) return;
  const std::string model = next->model;
  const WantedVersion wanted = next->version->wanted;
  if (next->version->servable == nullptr) next->version->state = VersionState::kLoading;
  ++next->version->tries;
  lock.unlock();
  const std::string stamp = directory_stamp(wanted.path);
  const Clock::time_point start = Clock::now();
  auto servable =
      Servable::load({model, wanted.version, wanted.label}, wanted.path, state_.options.servable, wanted.verify);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
  lock.lock();
  loaded(model, wanted, stamp, took, servable);
  lock.unlock();
  servable = absl::CancelledError();  // one that came too late ends here
  lock.lock();
}

// What is left in `servable` goes with the caller.
void VersionLoader::loaded(const std::string& name, const WantedVersion& wanted, const std::string& stamp,
                           int64_t took_ms, absl::StatusOr<std::shared_ptr<Servable>>& servable) {
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
  const std::shared_ptr<Servable> before = default_of(state_.models[name]);
  version.state = VersionState::kAvailable;
  version.tries = version.changes = 0;
  version.servable.swap(*servable);
  if (*servable != nullptr) state_.retired.push_back(*std::move(servable));
  state_.publish();
  LOG_INFO("Serving {} ({}): loaded and warmed in {} ms{}", version_name(name, wanted), wanted.path, took_ms,
           what_it_replaces(name, before));
}

// "; draining version 1 (3 requests)"
std::string VersionLoader::what_it_replaces(const std::string& name, const std::shared_ptr<Servable>& before) {
  const StoredModel& model = state_.models[name];
  if (before == nullptr || before == default_of(model)) return "";
  const auto old = model.versions.find(before->id().version);
  const bool goes = old == model.versions.end() || !old->second.is_wanted || old->second.servable != before;
  return goes ? fmt::format("; draining version {} ({} requests)", before->id().version, before->running()) : "";
}

void VersionLoader::failed(const std::string& name, StoredVersion& version, const std::string& stamp) {
  if (version.servable == nullptr) version.state = VersionState::kEnd;
  version.stamp = stamp;
  version.is_changing = false;
  version.next_try = Clock::now() + state_.options.load_retry_interval;
  const std::shared_ptr<Servable> standard = default_of(state_.models[name]);
  LOG_ERROR("{} does not load (try {} of {}): {}{}", version_name(name, version.wanted), version.tries,
            state_.options.max_load_retries + 1, std::string(version.status.message()),
            standard ? fmt::format("; version {} goes on serving", standard->id().version) : "");
}

}  // namespace lockstep
