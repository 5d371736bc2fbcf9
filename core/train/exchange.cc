// SPDX-License-Identifier: Apache-2.0
#include "core/train/exchange.h"

#include <algorithm>

#include "core/nn/grad_buckets.h"
#include "core/train/train_step.h"

namespace lockstep {

bool sends_messages(const TrainConfig& config, int ranks, int local_ranks) {
  if (config.device == "cuda" || ranks == 1) return false;
  return config.transport == "mpi" || (config.transport == "auto" && local_ranks < ranks);
}

std::vector<bool> layers_to_give_operands(const Network& network, const TrainConfig& config, int ranks,
                                          bool by_messages) {
  if (by_messages) return {};
  int64_t most = 0;
  for (int rank = 0; rank < ranks; ++rank) most = std::max(most, TrainStep::local_examples(config, rank, ranks));
  return layers_that_give_operands(network, most, ranks);
}

}  // namespace lockstep
