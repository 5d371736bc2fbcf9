// SPDX-License-Identifier: Apache-2.0
// CUDA's error codes as Status. No CUDA header here: a cudaError_t converts to int.
#pragma once

#include <string_view>

#include "core/base/status.h"

namespace lockstep {

// OK for cudaSuccess; else CUDA's name and text of the error behind `call`. cudaErrorMemoryAllocation is
// ResourceExhausted; no device, no driver and too old a driver are FailedPrecondition; the rest is Internal.
absl::Status cuda_status(int error, std::string_view call);

}  // namespace lockstep

// Returns the error of a CUDA runtime call from the enclosing function.
#define LOCKSTEP_CUDA_RETURN_IF_ERROR(call) LOCKSTEP_RETURN_IF_ERROR(::lockstep::cuda_status((call), #call))
