// SPDX-License-Identifier: Apache-2.0
// How much of a GPU's memory a run will need, told before any of it is taken.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "core/nn/network.h"
#include "core/train/accelerator.h"
#include "core/train/train_config.h"

namespace lockstep {

// Bytes that a rank allocates on its GPU.
struct DeviceMemoryPlan {
  int64_t parameters = 0;   // weights, gradients, partial sums of other ranks, moments
  int64_t activations = 0;  // and their gradients
  int64_t input = 0;        // batches under way, evaluation, losses
  int64_t workspace = 0;    // scratch memory of operators
  int64_t libraries = 0;    // an allowance for what CUDA graphs and NCCL take
  int64_t total() const { return parameters + activations + input + workspace + libraries; }
};

// Of the communicator's rank. Takes a while where a library plans its work; the communicator hears of its progress.
absl::StatusOr<DeviceMemoryPlan> plan_device_memory(Communicator& communicator, const Network& network,
                                                    const TrainConfig& config, const Accelerator& accelerator);

// An error when the GPU has less free: it names need, free, and the largest --train_batch_size that fits.
absl::Status check_device_memory(Communicator& communicator, const Network& network, const TrainConfig& config,
                                 const Accelerator& accelerator);

}  // namespace lockstep
