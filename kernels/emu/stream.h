// SPDX-License-Identifier: Apache-2.0
// Streams, events and graphs of the emulated GPU. Nothing runs when it is enqueued: a call that waits runs the work it
// waits for, and of other streams only what events put in front of that. So work whose event was forgotten is found
// not done, and memory that the host changes too early is found changed. Graphs run their nodes in an order that only
// their dependencies bind, the latest first (seeded: any).
//
// A rank that waits for another one outside of its streams lets its own queued work stand still; a program whose ranks
// wait for each other both ways at once would hang here, though not on GPUs.
#pragma once

#include <functional>

#include "kernels/emu/failure.h"
#include "kernels/emu/runtime_api.h"

namespace lockstep::emu {

using Work = std::function<Failure()>;

// Puts the work into the stream, or, while the stream captures, into the graph: then it may run many times. For what
// is not a kernel or a copy: NCCL's calls. `work` may touch device memory and must not enqueue anything.
cudaError_t enqueue_work(cudaStream_t stream, Work work);

// Sets what cudaGetLastError returns and cudaGetErrorString explains, and returns the code.
cudaError_t report(const Failure& failure);

}  // namespace lockstep::emu
