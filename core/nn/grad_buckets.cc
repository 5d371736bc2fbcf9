// SPDX-License-Identifier: Apache-2.0
#include "core/nn/grad_buckets.h"

namespace lockstep {

std::vector<bool> layers_that_give_operands(const Network& network, int64_t n, int ranks) {
  std::vector<int64_t> parameters(static_cast<size_t>(network.layer_count()));
  for (const Param& param : network.params().params()) parameters[static_cast<size_t>(param.layer)] += param.size;
  std::vector<bool> result;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const int64_t floats = network.layers()[i]->operand_floats();
    result.push_back(floats > 0 && n * floats * (ranks + 1) <= 2 * parameters[i]);
  }
  return result;
}

GradBuckets make_grad_buckets(const ParamTable& table, int layers, const std::vector<bool>& give_operands,
                              int64_t min_bytes) {
  const auto alone = [&](int layer) { return !give_operands.empty() && give_operands[static_cast<size_t>(layer)]; };
  GradBuckets result;
  result.bucket_of_layer.assign(static_cast<size_t>(layers), -1);
  const int64_t min_floats = min_bytes / static_cast<int64_t>(sizeof(float));
  int64_t end = table.buffer_size();
  const auto& params = table.params();
  for (size_t i = params.size(); i-- > 0;) {
    const Param& param = params[i];
    result.bucket_of_layer[static_cast<size_t>(param.layer)] = static_cast<int>(result.buckets.size());
    const bool first_of_layer = i == 0 || params[i - 1].layer != param.layer;
    if (!first_of_layer) continue;
    const bool join_next = i != 0 && !alone(param.layer) && !alone(params[i - 1].layer);
    if (join_next && end - param.offset < min_floats) continue;
    result.buckets.push_back({param.offset, end - param.offset});
    result.last_layer.push_back(param.layer);
    end = param.offset;
  }
  return result;
}

}  // namespace lockstep
