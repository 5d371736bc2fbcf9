// SPDX-License-Identifier: Apache-2.0
// What a thread does between two looks at a variable that another one is about to change.
#pragma once

namespace lockstep {

// Tells the processor that this is a spin loop: it saves power and leaves the core's other thread the units.
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace lockstep
