// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda_check.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#if defined(LOCKSTEP_EMULATED)
#include "kernels/emu/symbol.h"
#endif

namespace lockstep {
namespace {

absl::StatusCode code_of(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return absl::StatusCode::kResourceExhausted;
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorInsufficientDriver:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string kernel_name(const void* kernel) {
#if defined(LOCKSTEP_EMULATED)
  return emu::function_name(kernel);
#else
  const char* name = nullptr;
  if (cudaFuncGetName(&name, kernel) == cudaSuccess && name != nullptr) return name;
  return fmt::format("at {}", kernel);
#endif
}

}  // namespace

absl::Status cuda_status(int error, std::string_view call) {
  if (error == cudaSuccess) return absl::OkStatus();
  const auto native = static_cast<cudaError_t>(error);
  return absl::Status(code_of(native),
                      fmt::format("{}: {}: {}", call, cudaGetErrorName(native), cudaGetErrorString(native)));
}

absl::Status launch_status(int error, const void* kernel, const std::array<unsigned, 6>& dims, size_t shared_bytes) {
  if (error == cudaSuccess) return absl::OkStatus();
  return cuda_status(
      error, fmt::format("launch of `{}` with grid ({}, {}, {}), block ({}, {}, {}) and {} bytes of shared memory",
                         kernel_name(kernel), dims[0], dims[1], dims[2], dims[3], dims[4], dims[5], shared_bytes));
}

}  // namespace lockstep
