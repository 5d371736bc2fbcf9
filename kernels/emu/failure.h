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

// For code that runs as a thread of a kernel: ends the block, with kernel, block and thread before the text.
[[noreturn]] void fail_thread(cudaError_t error, const std::string& text);

}  // namespace lockstep::emu
