// SPDX-License-Identifier: Apache-2.0
// Status plumbing: bad input or environment travels as absl::Status, never as an exception or an exit.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define LOCKSTEP_CONCAT_INNER(a, b) a##b
#define LOCKSTEP_CONCAT(a, b) LOCKSTEP_CONCAT_INNER(a, b)

// Returns the status from the enclosing function unless it is OK.
#define LOCKSTEP_RETURN_IF_ERROR(expr)                                                           \
  do {                                                                                           \
    if (absl::Status lockstep_status_ = (expr); !lockstep_status_.ok()) return lockstep_status_; \
  } while (false)

// LOCKSTEP_ASSIGN_OR_RETURN(auto x, f()); assigns the value or returns the status.
#define LOCKSTEP_ASSIGN_OR_RETURN(lhs, expr) \
  LOCKSTEP_ASSIGN_OR_RETURN_IMPL(LOCKSTEP_CONCAT(lockstep_statusor_, __LINE__), lhs, expr)
#define LOCKSTEP_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                   \
  if (!tmp.ok()) return std::move(tmp).status();       \
  lhs = std::move(tmp).value()

namespace lockstep {

// The same status with `context + ": "` before its message: says where, as the error travels up.
inline absl::Status annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), std::string(context) + ": " + std::string(status.message()));
}

}  // namespace lockstep
