// SPDX-License-Identifier: Apache-2.0
// CUDA's error codes as Status. No CUDA header here: a cudaError_t converts to int.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

// OK for cudaSuccess; else CUDA's name and text of the error behind `call`. cudaErrorMemoryAllocation is
// ResourceExhausted; no device, no driver and too old a driver are FailedPrecondition; the rest is Internal.
absl::Status cuda_status(int error, std::string_view call);

// The same for a launch: names the kernel and its dimensions, x, y, z of the grid and of a block.
absl::Status launch_status(int error, const void* kernel, const std::array<unsigned, 6>& dims, size_t shared_bytes);

}  // namespace lockstep

// Returns the error of a CUDA runtime call from the enclosing function.
#define LOCKSTEP_CUDA_RETURN_IF_ERROR(call) LOCKSTEP_RETURN_IF_ERROR(::lockstep::cuda_status((call), #call))
