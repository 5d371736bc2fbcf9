// SPDX-License-Identifier: Apache-2.0
// One word from every rank to every rank, once a step, or-ed: how ranks agree to stop or to save when their gradients
// travel between GPUs and the hosts have nothing else to say to each other. The exchange goes on while the GPUs work.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/status.h"
#include "mpi/communicator.h"
#include "mpi/message_port.h"

namespace lockstep {

class VoteExchange {
 public:
  explicit VoteExchange(Communicator& communicator);
  ~VoteExchange();
  VoteExchange(const VoteExchange&) = delete;
  VoteExchange& operator=(const VoteExchange&) = delete;

  // Collective. Sends this rank's vote; finish() comes before the next start().
  absl::Status start(uint32_t vote);
  // Waits for the others' votes of the same round, and returns the bitwise or.
  absl::StatusOr<uint32_t> finish();

  double wait_seconds() const { return wait_seconds_; }

 private:
  absl::StatusOr<bool> arrived();

  Communicator& communicator_;
  uint32_t mine_ = 0;
  std::vector<uint32_t> votes_;  // [rank]
  std::vector<MessageRequest> requests_;
  double wait_seconds_ = 0;
};

}  // namespace lockstep
