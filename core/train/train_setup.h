// SPDX-License-Identifier: Apache-2.0
// Everything a run needs before its first step, opened and checked in an order that finds cheap mistakes first.
#pragma once

#include <memory>

#include "core/base/status.h"
#include "core/base/thread_pool.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"
#include "core/train/accelerator.h"
#include "core/train/train_config.h"
#include "io/batch_source.h"
#include "kernels/backend.h"
#include "mpi/communicator.h"

namespace lockstep {

struct TrainSetup {
  TrainConfig config;
  ModelConfig model_config;
  Network network;
  std::unique_ptr<Dataset> train_data, test_data;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<ProgressSource> pool_progress;  // behind the pool, which it looks at
  KernelContext kernel;                           // of the CPU
  std::unique_ptr<Accelerator> accelerator;       // null: trained on the CPU
};

// Collective; an error is the same on every rank (agree.h). Checks that all ranks were started with one configuration,
// that images and labels of the data fit the network, and that memory suffices, the GPU's too. On return the
// configuration says which device and backend were chosen.
absl::StatusOr<std::unique_ptr<TrainSetup>> set_up_training(Communicator& communicator, const TrainConfig& config);

}  // namespace lockstep
