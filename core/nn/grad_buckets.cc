// SPDX-License-Identifier: Apache-2.0
#include "core/nn/grad_buckets.h"

namespace lockstep {

GradBuckets make_grad_buckets(const ParamTable& table, int layers, int64_t min_bytes) {
  GradBuckets result;
  result.bucket_of_layer.assign(static_cast<size_t>(layers), -1);
  const int64_t min_floats = min_bytes / static_cast<int64_t>(sizeof(float));
  int64_t end = table.buffer_size();
  const auto& params = table.params();
  for (size_t i = params.size(); i-- > 0;) {
    const Param& param = params[i];
    result.bucket_of_layer[static_cast<size_t>(param.layer)] = static_cast<int>(result.buckets.size());
    const bool first_of_layer = i == 0 || params[i - 1].layer != param.layer;
    if (!first_of_layer || (i != 0 && end - param.offset < min_floats)) continue;
    result.buckets.push_back({param.offset, end - param.offset});
    result.last_layer.push_back(param.layer);
    end = param.offset;
  }
  return result;
}

}  // namespace lockstep
