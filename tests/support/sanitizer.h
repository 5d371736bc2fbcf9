// SPDX-License-Identifier: Apache-2.0
// Whether a sanitizer checks this program, in which everything takes several times as long.
#pragma once

namespace lockstep {

#ifdef LOCKSTEP_SANITIZED
inline constexpr bool kUnderSanitizer = true;
#else
inline constexpr bool kUnderSanitizer = false;
#endif

#ifdef LOCKSTEP_ADDRESS_SANITIZER
inline constexpr bool kUnderAddressSanitizer = true;
#else
inline constexpr bool kUnderAddressSanitizer = false;
#endif

}  // namespace lockstep
