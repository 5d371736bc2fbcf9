// SPDX-License-Identifier: Apache-2.0
// How a kernel is started and gets shared memory: the only place that knows nvcc from the emulator. For `.cu` files.
//
//   __global__ void scale_kernel(const float* x, float* y, int64_t n, float factor);
//   return launch(scale_kernel, LaunchDims{dim3(blocks), dim3(256)}, ctx.device->stream, x, y, n, factor);
//
// In a kernel:
//   SHARED(float, tile, 32 * 33);   // T tile[n], one per block, 16-byte aligned; n a constant expression
//   DYNAMIC_SHARED(float, buffer);  // T* to LaunchDims::shared_bytes bytes, 16-byte aligned; always the same memory
// Contents are undefined (the emulator fills them with NaN and reports a read before the first write).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/base/device.h"
#include "core/base/status.h"
#include "kernels/cuda_check.h"

#if !defined(__CUDACC__)
#include "kernels/emu/cuda_runtime.h"
#endif

namespace lockstep {

// No dimension may be 0: an empty launch is an error, so return early. More than 48 KiB of dynamic shared memory is
// asked for as CUDA wants it; what the device cannot give is an error.
struct LaunchDims {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
};

namespace launch_detail {
// See launch_status.
inline absl::Status status(int error, const void* kernel, const LaunchDims& dims) {
  if (error == 0) return absl::OkStatus();
  return launch_status(error, kernel, {dims.grid.x, dims.grid.y, dims.grid.z, dims.block.x, dims.block.y, dims.block.z},
                       dims.shared_bytes);
}
}  // namespace launch_detail

#if defined(__CUDACC__)

#define SHARED(T, name, n) __shared__ __align__(16) T name[n]
#define DYNAMIC_SHARED(T, name)                                            \
  extern __shared__ __align__(16) unsigned char lockstep_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(lockstep_dynamic_shared)

// Enqueues the kernel and returns; errors of the run itself appear at a later call, as Device says.
template <typename... Params, typename... Args>
absl::Status launch(void (*kernel)(Params...), const LaunchDims& dims, DeviceStream stream, Args&&... args) {
  static_assert(sizeof...(Params) == sizeof...(Args), "the kernel takes another number of arguments");
  constexpr size_t kAlwaysAllowed = 48 * 1024;
  const void* const address = reinterpret_cast<const void*>(kernel);
  if (dims.shared_bytes > kAlwaysAllowed) {
    const cudaError_t error =
        cudaFuncSetAttribute(address, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(dims.shared_bytes));
    if (error != cudaSuccess) return launch_detail::status(error, address, dims);
  }
  kernel<<<dims.grid, dims.block, dims.shared_bytes, static_cast<cudaStream_t>(stream.native)>>>(
      static_cast<Params>(std::forward<Args>(args))...);
  return launch_detail::status(cudaGetLastError(), address, dims);
}

#else

// One per block for each place in the source (each instantiation of a template), as with __shared__.
#define SHARED(T, name, n)            \
  static const char name##_place = 0; \
  auto& name = *static_cast<T(*)[n]>(::lockstep::emu::shared_array(&name##_place, #name, sizeof(T[n])))
#define DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::lockstep::emu::dynamic_shared())

template <typename... Params, typename... Args>
absl::Status launch(void (*kernel)(Params...), const LaunchDims& dims, DeviceStream stream, Args&&... args) {
  static_assert(sizeof...(Params) == sizeof...(Args), "the kernel takes another number of arguments");
  const void* const address = reinterpret_cast<const void*>(kernel);
  auto call = std::make_unique<emu::KernelCallOf<Params...>>(kernel, static_cast<Params>(std::forward<Args>(args))...);
  const int error = emu::enqueue_kernel(std::move(call), dims.grid, dims.block, dims.shared_bytes,
                                        static_cast<cudaStream_t>(stream.native));
  return launch_detail::status(error, address, dims);
}

#endif

}  // namespace lockstep
