// SPDX-License-Identifier: Apache-2.0
// The ranks of a job as threads of one process: transports run under the sanitizers, without MPI.
#pragma once

#include <functional>
#include <memory>

#include "mpi/communicator.h"

namespace lockstep {

// Calls body(communicator) on `ranks` threads, one per rank, and returns when all have returned. A message's send
// completes only when its receiver has taken it: a transport that reuses a buffer too early is caught.
// `local_size` below `ranks` pretends that the ranks are spread over several hosts.
void run_thread_ranks(int ranks, int local_size, const std::function<void(Communicator&)>& body);

}  // namespace lockstep
