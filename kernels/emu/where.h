// SPDX-License-Identifier: Apache-2.0
// The place in the source of a call, as a default argument: what std::source_location is, which clang++ 14 does not
// have with libstdc++ 12.
#pragma once

namespace lockstep::emu {

struct Where {
  const char* file = "";
  int line = 0;

  // As a default argument it names the place of the call that has that argument.
  static constexpr Where current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

}  // namespace lockstep::emu
