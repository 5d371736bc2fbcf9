// SPDX-License-Identifier: Apache-2.0
// Descriptors of cuDNN's older API, which its max-pool and its softmax still have. Only for .cc files that include
// <cudnn.h> before.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>

#include "core/base/status.h"
#include "kernels/cudnn_check.h"

namespace lockstep {

// Owns a descriptor that cuDNN makes and destroys with these functions.
template <typename T, cudnnStatus_t (*kCreate)(T*), cudnnStatus_t (*kDestroy)(T)>
class CudnnDescriptor {
 public:
  static absl::StatusOr<CudnnDescriptor> create() {
    CudnnDescriptor descriptor;
    LOCKSTEP_CUDNN_RETURN_IF_ERROR(kCreate(&descriptor.native_));
    return descriptor;
  }
  CudnnDescriptor(CudnnDescriptor&& other) noexcept : native_(std::exchange(other.native_, nullptr)) {}
  CudnnDescriptor& operator=(CudnnDescriptor&&) = delete;
  ~CudnnDescriptor() {
    if (native_ != nullptr) kDestroy(native_);
  }
  T get() const { return native_; }

 private:
  CudnnDescriptor() = default;
  T native_ = nullptr;
};

using CudnnTensor = CudnnDescriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;

// A dense float array (n, h, w, c). Unimplemented: more elements than cuDNN counts.
inline absl::StatusOr<CudnnTensor> cudnn_tensor(int64_t n, int h, int w, int c) {
  if (n * h * w * c > std::numeric_limits<int>::max()) {
    return absl::UnimplementedError("an array of more than 2^31 elements");
  }
  LOCKSTEP_ASSIGN_OR_RETURN(CudnnTensor tensor, CudnnTensor::create());
  LOCKSTEP_CUDNN_RETURN_IF_ERROR(
      cudnnSetTensor4dDescriptor(tensor.get(), CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, static_cast<int>(n), c, h, w));
  return tensor;
}

}  // namespace lockstep
