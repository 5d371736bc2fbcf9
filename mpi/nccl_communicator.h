// SPDX-License-Identifier: Apache-2.0
// The calls of NCCL that we use, as Status. The communicator is non-blocking, so that no call of NCCL can hang: each is
// polled until it is done, fails or runs out of time, and is then aborted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "core/base/device.h"
#include "core/base/status.h"
#include "mpi/communicator.h"

namespace lockstep {

class NcclCommunicator {
 public:
  // Collective; an error is the same on every rank and names the rank that had it. The calling thread's GPU is the
  // rank's.
  static absl::StatusOr<std::unique_ptr<NcclCommunicator>> open(Communicator& communicator, double timeout_s);
  // Aborts what is under way unless everything was in order.
  ~NcclCommunicator();
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  // All transfers that `enqueue` starts are one operation of the stream: none waits for another to be started. Its
  // error, or NCCL's, aborts the communicator.
  absl::Status group(std::string_view what, absl::FunctionRef<absl::Status()> enqueue);
  // To be called inside a group; buffers are device memory.
  absl::Status send(const float* data, int64_t count, int peer, DeviceStream stream);
  absl::Status receive(float* data, int64_t count, int peer, DeviceStream stream);
  // Everyone's `count` floats, in rank order, into `all`; `mine` may be the own place in it.
  absl::Status all_gather(const float* mine, int64_t count, float* all, DeviceStream stream);
  // Sum over the ranks, in place, in an order that is NCCL's.
  absl::Status all_reduce_sum(float* data, int64_t count, DeviceStream stream);

  // The error of operations under way, if there is one. Never blocks.
  absl::Status check();
  void abort();

 private:
  struct Library;  // keeps NCCL's types out of the header
  NcclCommunicator(Communicator& communicator, double timeout_s);
  absl::Status connect(const std::string& id);
  absl::Status error(std::string_view call, int result) const;
  absl::Status settled(std::string_view call, int result);
  std::string here() const;

  Communicator& communicator_;
  const double timeout_s_;
  std::unique_ptr<Library> library_;
  bool failed_ = false;
};

}  // namespace lockstep
