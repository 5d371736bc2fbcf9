// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/library_log.h"

#include <grpc/support/log.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <mutex>

#include "core/base/log.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kBetween{60};

void log(gpr_log_func_args* said) {
  static std::mutex mutex;
  static Clock::time_point next;
  static int64_t dropped = 0;
  if (said->severity != GPR_LOG_SEVERITY_ERROR) return;
  int64_t before = 0;
  {
    const std::lock_guard lock(mutex);
    const Clock::time_point now = Clock::now();
    if (now < next) {
      ++dropped;
      return;
    }
    next = now + kBetween;
    before = dropped;
    dropped = 0;
  }
  LOG_WARNING("gRPC: {} ({} others since the last such line)", said->message, before);
}

}  // namespace

void take_over_library_log() {
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function(log);
}

}  // namespace lockstep
