// SPDX-License-Identifier: Apache-2.0
// CHECK and DCHECK: broken invariants of our own code. Bad data is an absl::Status, not a CHECK.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

namespace lockstep::internal {

[[noreturn]] inline void check_failed(const char* file, int line, const char* expr, const std::string& values) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s%s\n", file, line, expr, values.c_str());
  std::abort();
}

template <typename A, typename B>
std::string check_values(const A& a, const B& b) {
  std::ostringstream out;
  out << " (" << a << " vs " << b << ")";
  return out.str();
}

}  // namespace lockstep::internal

#define LOCKSTEP_CHECK(cond) \
  (static_cast<bool>(cond) ? void(0) : ::lockstep::internal::check_failed(__FILE__, __LINE__, #cond, ""))
#define LOCKSTEP_CHECK_OP(op, a, b)                                                                     \
  do {                                                                                                  \
    const auto& lockstep_a_ = (a);                                                                      \
    const auto& lockstep_b_ = (b);                                                                      \
    if (!(lockstep_a_ op lockstep_b_))                                                                  \
      ::lockstep::internal::check_failed(__FILE__, __LINE__, #a " " #op " " #b,                         \
                                         ::lockstep::internal::check_values(lockstep_a_, lockstep_b_)); \
  } while (false)
#define LOCKSTEP_CHECK_EQ(a, b) LOCKSTEP_CHECK_OP(==, a, b)
#define LOCKSTEP_CHECK_NE(a, b) LOCKSTEP_CHECK_OP(!=, a, b)
#define LOCKSTEP_CHECK_LE(a, b) LOCKSTEP_CHECK_OP(<=, a, b)
#define LOCKSTEP_CHECK_LT(a, b) LOCKSTEP_CHECK_OP(<, a, b)
#define LOCKSTEP_CHECK_GE(a, b) LOCKSTEP_CHECK_OP(>=, a, b)
#define LOCKSTEP_CHECK_GT(a, b) LOCKSTEP_CHECK_OP(>, a, b)
#ifdef NDEBUG
#define LOCKSTEP_DCHECK(cond) void(0)
#else
#define LOCKSTEP_DCHECK(cond) LOCKSTEP_CHECK(cond)
#endif
