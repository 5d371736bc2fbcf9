// SPDX-License-Identifier: Apache-2.0
// What the two halves of the emulated runtime share: streams (stream.cc) and the rest (runtime_api.cc).
#pragma once

#include <mutex>

#include "kernels/emu/runtime_api.h"

namespace lockstep::emu {

// Held during every call of the runtime.
std::recursive_mutex& runtime_lock();
using RuntimeLock = std::lock_guard<std::recursive_mutex>;

// An error while any stream captures, which it breaks: for calls that CUDA does not allow then.
cudaError_t unsafe_while_capturing(const char* call);

}  // namespace lockstep::emu
