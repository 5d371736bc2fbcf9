// SPDX-License-Identifier: Apache-2.0
#include "kernels/cudnn_handle.h"

#include <cuda_runtime.h>
#include <cudnn.h>

#include <map>

#include "kernels/cuda_check.h"
#include "kernels/cudnn_check.h"

namespace lockstep {

absl::StatusOr<CudnnUse> CudnnUse::on(DeviceStream stream) {
  static std::recursive_mutex mutex;
  static auto& handles = *new std::map<int, cudnnHandle_t>;  // [device]
  std::unique_lock lock(mutex);
  int device = 0;
  LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaGetDevice(&device));
  cudnnHandle_t& handle = handles[device];
  if (handle == nullptr) LOCKSTEP_CUDNN_RETURN_IF_ERROR(cudnnCreate(&handle));
  LOCKSTEP_CUDNN_RETURN_IF_ERROR(cudnnSetStream(handle, static_cast<cudaStream_t>(stream.native)));
  return CudnnUse(std::move(lock), handle, device);
}

}  // namespace lockstep
