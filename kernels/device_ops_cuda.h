// SPDX-License-Identifier: Apache-2.0
// Our own kernels as a table of operators.
#pragma once

#include "kernels/device_ops.h"

namespace lockstep {

const DeviceOps& cuda_device_ops();

}  // namespace lockstep
