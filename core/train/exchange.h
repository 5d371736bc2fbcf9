// SPDX-License-Identifier: Apache-2.0
// What the ranks of a run on CPUs hand each other, and how: settled by the configuration and the number of ranks alone,
// so known before any memory is taken, and the same on all ranks.
#pragma once

#include <vector>

#include "core/nn/network.h"
#include "core/train/train_config.h"

namespace lockstep {

// `local_ranks` of the `ranks` are on this host. False on a GPU, which has a transport of its own.
bool sends_messages(const TrainConfig& config, int ranks, int local_ranks);

// Per layer: does it give operands (see grad_buckets.h)? Empty: none does, as messages carry partial sums.
std::vector<bool> layers_to_give_operands(const Network& network, const TrainConfig& config, int ranks,
                                          bool by_messages);

}  // namespace lockstep
