// SPDX-License-Identifier: Apache-2.0
// The thread of a ModelStore that loads the versions that are wanted and lets go of the others.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "serve/models/store_state.h"

namespace lockstep {

class VersionLoader {
 public:
  explicit VersionLoader(StoreState& state);  // which outlives it
  ~VersionLoader();                           // waits for the version that is being loaded
  VersionLoader(const VersionLoader&) = delete;
  VersionLoader& operator=(const VersionLoader&) = delete;

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct ToLoad {
    std::string model;
    StoredVersion* version = nullptr;
  };

  void keep_up();
  void look_at_failed(Lock& lock);
  StoredVersion* find_version(const std::string& name, const WantedVersion& wanted);
  std::optional<ToLoad> next_to_load();
  void load_next(Lock& lock);
  void loaded(const std::string& name, const WantedVersion& wanted, const std::string& stamp, int64_t took_ms,
              absl::StatusOr<std::shared_ptr<Servable>>& servable);
  std::string what_it_replaces(const std::string& name, const std::shared_ptr<Servable>& before);
  void failed(const std::string& name, StoredVersion& version, const std::string& stamp);

  StoreState& state_;
  std::chrono::steady_clock::time_point next_look_;  // of the thread
  std::thread thread_;
};

}  // namespace lockstep
