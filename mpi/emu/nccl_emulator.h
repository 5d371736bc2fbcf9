// SPDX-License-Identifier: Apache-2.0
// How the emulated NCCL finds the other ranks and the streams, and how tests break it.
#pragma once

#include <functional>

#include "core/base/status.h"
#include "mpi/communicator.h"

namespace lockstep::emu {

// NCCL connects its ranks by itself; its emulation sends messages through the communicator of the rank that the calling
// thread is. Before the first call of NCCL; the communicator must outlive the last.
void attach_nccl(Communicator& communicator);

// Puts work into a stream, or into the graph that is being captured from it; an error of the work becomes one of the
// stream. Defined beside the streams that a program is linked with.
bool enqueue_on_stream(void* stream, std::function<absl::Status()> work);

enum class NcclFault {
  kNone,
  kNoUniqueId,        // ncclGetUniqueId fails
  kConnectFails,      // ncclCommInitRankConfig fails, in the background
  kConnectHangs,      // … never gets done
  kConnectionIsLost,  // after a few operations every query says ncclRemoteError
};
// For communicators that the calling thread opens from now on.
void break_nccl(NcclFault fault);

}  // namespace lockstep::emu
