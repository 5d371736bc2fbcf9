// SPDX-License-Identifier: Apache-2.0
#include "core/nn/init.h"

#include <algorithm>
#include <cmath>

#include "core/base/rng.h"

namespace lockstep {
namespace {

float glorot_limit(const std::vector<int64_t>& shape) {
  double window = 1;
  for (size_t i = 0; i + 2 < shape.size(); ++i) window *= static_cast<double>(shape[i]);
  const double inputs = static_cast<double>(shape[shape.size() - 2]);
  const double outputs = static_cast<double>(shape[shape.size() - 1]);
  return static_cast<float>(std::sqrt(6.0 / (window * (inputs + outputs))));
}

}  // namespace

void initialize_weights(const ParamTable& table, uint64_t seed, float* weights) {
  std::fill(weights, weights + table.buffer_size(), 0.0f);
  for (size_t v = 0; v < table.params().size(); ++v) {
    const Param& param = table.params()[v];
    if (param.shape.size() < 2) continue;  // a bias
    const float limit = glorot_limit(param.shape);
    const RngStream rng(seed, RngPurpose::kInit, v, 0);
    for (int64_t quad = 0; quad * 4 < param.size; ++quad) {
      const Philox::Block bits = rng.quad(static_cast<uint32_t>(quad));
      for (int64_t i = quad * 4; i < std::min(quad * 4 + 4, param.size); ++i) {
        weights[param.offset + i] = (2 * RngStream::to_uniform(bits[static_cast<size_t>(i % 4)]) - 1) * limit;
      }
    }
  }
}

}  // namespace lockstep
