// SPDX-License-Identifier: Apache-2.0
// Cuts the flat parameter buffer into the ranges that are reduced as one, in the order in which backward finishes them.
#pragma once

#include <cstdint>
#include <vector>

#include "core/nn/param_table.h"
#include "mpi/grad_reducer.h"

namespace lockstep {

struct GradBuckets {
  std::vector<Bucket> buckets;  // last layers first; together they tile the buffer
  // Per bucket: the lowest layer in it. Backward has finished the bucket when it has finished that layer.
  std::vector<int> last_layer;
  // Per layer: its bucket, or -1 for a layer without parameters.
  std::vector<int> bucket_of_layer;
};

// One bucket a layer, kernel and bias together; a bucket smaller than `min_bytes` takes in the layer before it, since a
// message that small costs its latency, not its bytes. The last bucket may be small.
GradBuckets make_grad_buckets(const ParamTable& table, int layers, int64_t min_bytes = 64 << 10);

}  // namespace lockstep
