// SPDX-License-Identifier: Apache-2.0
// Stands in for CUDA's header of this name where a source is compiled for the emulator.
#pragma once

#include "kernels/emu/device_functions.h"
#include "kernels/emu/kernel_call.h"
#include "kernels/emu/runtime_api.h"
#include "kernels/emu/vector_types.h"
