# SPDX-License-Identifier: Apache-2.0
# Writes OUT with the commit that is being built, only when it changed: a benchmark row must name its code.
execute_process(COMMAND git -C "${ROOT}" describe --always --dirty --abbrev=10 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE rc)
if(NOT rc EQUAL 0)
  set(commit "unknown")
endif()
set(text "// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lockstep {
inline constexpr char kCommit[] = \"${commit}\";
}  // namespace lockstep
")
set(old "")
if(EXISTS "${OUT}")
  file(READ "${OUT}" old)
endif()
if(NOT old STREQUAL text)
  file(WRITE "${OUT}" "${text}")
endif()
