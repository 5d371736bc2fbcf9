// SPDX-License-Identifier: Apache-2.0
// Cuts the flat parameter buffer into the ranges that are reduced as one, in the order in which backward finishes them.
#pragma once

#include <cstdint>
#include <vector>

#include "core/nn/network.h"
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

// Per layer: do ranks that share memory better exchange its operands than its partial sums? With partial sums a rank
// writes those of all P parameters, and as an owner reads those of all ranks for its part: 2 P floats. With operands,
// of F floats an example, it writes those of its own examples, at most n of them, and reads those of every rank:
// n F (ranks + 1) at most. The products are the same either way. This also makes n F <= P, so that the operands have
// room where the partial sums would be.
std::vector<bool> layers_that_give_operands(const Network& network, int64_t n, int ranks);

// One bucket a layer, kernel and bias together; a bucket smaller than `min_bytes` takes in the layer before it, since a
// message that small costs its latency, not its bytes. The last bucket may be small, and so may be the one behind a
// layer that gives operands: that layer has a bucket of its own.
GradBuckets make_grad_buckets(const ParamTable& table, int layers, const std::vector<bool>& give_operands = {},
                              int64_t min_bytes = 64 << 10);

}  // namespace lockstep
