// SPDX-License-Identifier: Apache-2.0
// The CUDA half of Lockstep: one shared object, liblockstep_cuda.so, that a program opens when it is asked for a GPU.
// Programs that are not asked load no CUDA library. The emulator's programs link the same functions instead.
#pragma once

#include <memory>
#include <string>

#include "core/base/device.h"
#include "core/base/status.h"
#include "kernels/ceiling/ceiling.h"
#include "kernels/device_ops.h"
#include "kernels/tree_sum_cuda.h"

namespace lockstep {

// Filled by the library; lives as long as the process. Functions are thread-safe.
struct CudaLibrary {
  // Raised with every change of this struct, of DeviceOps, Device or what a factory takes: program and library are
  // built from one tree.
  static constexpr int kAbiVersion = 4;
  int abi_version = kAbiVersion;

  // "CUDA 13.0, NCCL 2.28.3, sm_80 sm_90", or "emulated".
  const char* description = "";

  // GPUs that this process sees. Unavailable says what is missing: the driver, or a device.
  absl::StatusOr<int> (*device_count)() = nullptr;
  // Tells GPU `index` from all others of its host, whatever a process is allowed to see of them.
  absl::StatusOr<std::string> (*device_id)(int index) = nullptr;
  absl::StatusOr<std::unique_ptr<Device>> (*make_device)(int index) = nullptr;

  const DeviceOps* cuda = nullptr;
  const DeviceOps* cudnn = nullptr;  // null: built without cuDNN
  // For benchmarks: a ceiling, and what the operators above use inside.
  decltype(cuda::run_ceiling)* run_ceiling = nullptr;
  decltype(cuda::sum_slices)* sum_slices = nullptr;
  // The emulator's device keeps no time worth showing.
  bool emulated = false;
  // A MakeNcclGradReducer* (mpi/nccl_grad_reducer.h), or null: built without NCCL.
  void* make_nccl_grad_reducer = nullptr;
};

// Opens the library: $LOCKSTEP_CUDA_LIBRARY if that is set, else the one beside the program, in ../lib, or where the
// loader looks. The same pointer at every call. NotFound: this build has none, with the places that were looked at;
// FailedPrecondition: it cannot be loaded (the loader's reason) or belongs to another build.
absl::StatusOr<const CudaLibrary*> open_cuda_library();

}  // namespace lockstep

// What the shared object exports.
extern "C" __attribute__((visibility("default"))) const lockstep::CudaLibrary* lockstep_cuda_library();
