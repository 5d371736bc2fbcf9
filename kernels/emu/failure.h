// SPDX-License-Identifier: Apache-2.0
// What the emulator found wrong. The first finding ends its launch; the call that waits for the stream returns it.
#pragma once

#include <string>

#include "kernels/emu/runtime_api.h"

namespace lockstep::emu {

struct Failure {
  cudaError_t error = cudaSuccess;
  std::string message;  // "kernel `f`, block (0, 0, 0), thread (3, 0, 0): …"

  bool failed() const { return error != cudaSuccess; }
};

// For code that runs as a thread of a kernel: ends the block, with kernel, block and thread before the text. The fiber
// is never resumed: what its frames own leaks, so hold nothing but the text, which is moved from.
[[noreturn]] void fail_thread(cudaError_t error, std::string&& text);

}  // namespace lockstep::emu
