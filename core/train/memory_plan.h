// SPDX-License-Identifier: Apache-2.0
// How much memory a run will need, told before any of it is taken.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "core/base/status.h"
#include "core/nn/network.h"
#include "core/train/train_config.h"

namespace lockstep {

// What this rank may keep of its data sets in memory, when `available_bytes` are available to all `local_ranks` ranks
// of the host: --dataset_memory_limit, but at most half of its share, so that the other half is left to train in.
int64_t resident_data_limit(const TrainConfig& config, int local_ranks, int64_t available_bytes);

// Bytes of the host's memory that rank `rank` of `ranks` allocates for training; the data set, already open by then, is
// not part of it. With a GPU the host keeps copies of weights and moments, and what passes through.
struct MemoryPlan {
  int64_t weights = 0;
  int64_t gradients = 0;
  int64_t moments = 0;
  int64_t checkpoint = 0;   // rank 0: gathered moments and the snapshot being written
  int64_t activations = 0;  // and their gradients
  int64_t update = 0;       // packed operands of a layer whose gradient and Adam are one (Layer::update)
  int64_t batches = 0;      // read ahead
  int64_t messages = 0;     // partial sums received from other ranks, where they cannot be read in shared memory
  int64_t total() const {
    return weights + gradients + moments + checkpoint + activations + update + batches + messages;
  }
};

// Examples in one pass of the model: the local part of the global batch, or a test batch of up to 100.
int64_t model_capacity(const TrainConfig& config, int rank, int ranks);

// `by_messages`: the gradients travel as messages (--transport=mpi, or ranks on several hosts).
MemoryPlan plan_memory(const Network& network, const TrainConfig& config, int rank, int ranks,
                       bool by_messages = false);

// Largest batch below `too_large` whose need(batch) is at most `available_bytes`; 0 when not even one example fits.
// Need grows with the batch.
int64_t largest_batch_that_fits(int64_t too_large, int64_t available_bytes, absl::FunctionRef<int64_t(int64_t)> need);
// "the largest --train_batch_size that fits is 300", or that none does.
std::string batch_advice(int64_t largest);
// "12 MiB"
std::string mib_text(int64_t bytes);

// An error when `local_ranks` of the ranks need more than `available_bytes` on their host: it names need, available,
// and the largest --train_batch_size that fits. Ranks differ in what they need, and which ones are on the host depends
// on the launcher: those with the largest need are counted.
absl::Status check_memory(const Network& network, const TrainConfig& config, int ranks, int local_ranks,
                          int64_t available_bytes);

}  // namespace lockstep
