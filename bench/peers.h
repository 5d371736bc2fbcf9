// SPDX-License-Identifier: Apache-2.0
// Our training step and the peers', in turns.
#pragma once

#include <string>
#include <vector>

#include "bench/bench_row.h"
#include "bench/train_bench.h"
#include "core/base/status.h"

namespace lockstep {

struct PeerOptions {
  std::string scripts = "bench/peers";       // folder of <peer>_train.py
  std::string environments = "build/peers";  // where bench/peers/setup.sh made <peer>/bin/python
  int rounds = 7;
  int64_t steps_per_round = 30;
};

// Rounds of ours and of each peer in turns, since the speed of a shared machine drifts. Peers are TensorFlow, PyTorch,
// and with T > 1 threads our own step on T ranks of one thread. Per peer, one row with its images/s and ratio = the
// median over rounds of ours / theirs in the same round. A peer that cannot run is left out with a warning; an error
// when none can. Ours must have been warmed up; its steps are recorded in `ours`.
absl::StatusOr<std::vector<BenchRow>> measure_against_peers(const PeerOptions& options, const TrainConfig& config,
                                                            TrainBench* ours);

}  // namespace lockstep
