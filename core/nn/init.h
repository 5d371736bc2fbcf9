// SPDX-License-Identifier: Apache-2.0
// Initial weights: Glorot-uniform kernels, zero biases, as TensorFlow's layers. A function of the seed alone.
#pragma once

#include <cstdint>

#include "core/nn/param_table.h"

namespace lockstep {

// Kernels are uniform in [-limit, limit), limit = sqrt(6 / (fan_in + fan_out)), where the fans of a filter (R, S, C, K)
// are R*S*C and R*S*K. Writes the whole flat buffer, gaps as zero.
void initialize_weights(const ParamTable& table, uint64_t seed, float* weights);

}  // namespace lockstep
