// SPDX-License-Identifier: Apache-2.0
// A peer's training script as a child process that measures one round whenever it is asked (bench/peers/peer.py).
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct PeerRound {
  double images_per_s = 0;  // from the median step of the round
  double best_images_per_s = 0;
};

// One thread; every wait is bounded.
class PeerProcess {
 public:
  // Starts `command` (program and arguments; stderr is dropped) and waits until it has built its network.
  static absl::StatusOr<std::unique_ptr<PeerProcess>> start(const std::vector<std::string>& command);
  // Ends the child and waits for it.
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  absl::StatusOr<PeerRound> measure_round();
  // "TensorFlow 2.21.0, raw ops": with the variant that it found fastest here.
  const std::string& name() const { return name_; }

 private:
  PeerProcess() = default;
  absl::StatusOr<std::string> read_line();

  pid_t pid_ = -1;
  int to_child_ = -1, from_child_ = -1;
  std::string buffered_;
  std::string name_;
};

}  // namespace lockstep
