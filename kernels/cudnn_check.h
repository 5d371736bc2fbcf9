// SPDX-License-Identifier: Apache-2.0
// cuDNN's error codes as Status. No cuDNN header here: a cudnnStatus_t converts to int.
#pragma once

#include <string_view>

#include "core/base/status.h"

namespace lockstep {

// OK for CUDNN_STATUS_SUCCESS; else cuDNN's text of the error behind `call`, and what it says about the last one.
// Unimplemented: cuDNN does not support it (its codes 3000 to 3999); ResourceExhausted: no memory; else Internal.
absl::Status cudnn_status(int error, std::string_view call);

}  // namespace lockstep

// Returns the error of a cuDNN call from the enclosing function.
#define LOCKSTEP_CUDNN_RETURN_IF_ERROR(call) LOCKSTEP_RETURN_IF_ERROR(::lockstep::cudnn_status((call), #call))
