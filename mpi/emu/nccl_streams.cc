// SPDX-License-Identifier: Apache-2.0
// The emulated NCCL on the streams of the emulated GPU.
#include <string>
#include <utility>

#include "kernels/emu/stream.h"
#include "mpi/emu/nccl_emulator.h"

namespace lockstep::emu {

bool enqueue_on_stream(void* stream, std::function<absl::Status()> work) {
  auto as_work = [work = std::move(work)]() -> Failure {
    const absl::Status status = work();
    if (status.ok()) return {};
    return {cudaErrorUnknown, std::string(status.message())};
  };
  return enqueue_work(static_cast<cudaStream_t>(stream), std::move(as_work)) == cudaSuccess;
}

}  // namespace lockstep::emu
