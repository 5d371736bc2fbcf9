// SPDX-License-Identifier: Apache-2.0
// Whether a sanitizer checks this program, in which everything takes several times as long: tests that try thousands of
// damaged inputs then try a sample. The release suite tries all, and fuzzing goes further under the sanitizers.
#pragma once

namespace lockstep {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kUnderSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kUnderSanitizer = true;
#else
inline constexpr bool kUnderSanitizer = false;
#endif
#else
inline constexpr bool kUnderSanitizer = false;
#endif

}  // namespace lockstep
