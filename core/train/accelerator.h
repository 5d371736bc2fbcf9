// SPDX-License-Identifier: Apache-2.0
// The GPU that a rank trains on.
#pragma once

#include <memory>
#include <string>

#include "core/base/device.h"
#include "core/base/status.h"
#include "core/train/train_config.h"
#include "kernels/backend.h"
#include "kernels/cuda_library.h"
#include "mpi/communicator.h"
#include "mpi/nccl_grad_reducer.h"

namespace lockstep {

struct Accelerator {
  const CudaLibrary* library = nullptr;
  Backend backend = Backend::kCuda;
  int index = 0;  // among the GPUs that this process sees
  std::string id;
  std::unique_ptr<Device> device;

  const DeviceOps* ops() const { return backend == Backend::kCudnn ? library->cudnn : library->cuda; }
  // Null: built without NCCL.
  MakeNcclGradReducer* make_nccl_reducer() const {
    return reinterpret_cast<MakeNcclGradReducer*>(library->make_nccl_grad_reducer);
  }
};

// What operators need to enqueue on `stream`: without scratch memory and step scalars.
DeviceContext device_context(const Accelerator& accelerator, const TrainConfig& config, DeviceStream stream);

// Collective; an error is the same on every rank. Decides what --device and --backend leave open and writes the
// decision back: on return config->device is "cpu" (and the result null) or "cuda", and config->backend one that runs
// there. "auto" takes GPUs if every rank finds the library, the driver and one of its own; rank 0 logs why not.
absl::StatusOr<std::unique_ptr<Accelerator>> open_accelerator(Communicator& communicator, TrainConfig* config);

}  // namespace lockstep
