// SPDX-License-Identifier: Apache-2.0
// Waits through the communicator and adds up the time.
#pragma once

#include <fmt/format.h>

#include <chrono>

#include "core/base/status.h"
#include "mpi/communicator.h"

namespace lockstep {

class WaitMeter {
 public:
  explicit WaitMeter(Communicator& communicator) : communicator_(communicator) {}

  // Returns when `done` (StatusOr<bool>()) is true; `what` and `bucket` name the wait in errors and reports.
  template <typename Done>
  absl::Status wait(const char* what, int bucket, Done&& done) {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool ready, done());
    if (ready) return absl::OkStatus();
    const auto start = std::chrono::steady_clock::now();
    const std::string name = fmt::format("{} of bucket {}", what, bucket);
    const absl::Status status = communicator_.wait_for_others(name, done);
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return annotate(status, name);
  }

  double seconds() const { return seconds_; }

 private:
  Communicator& communicator_;
  double seconds_ = 0;
};

}  // namespace lockstep
