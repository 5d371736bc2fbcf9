// SPDX-License-Identifier: Apache-2.0
// Sums of per-slice gradients along the slice tree, in device memory: the twin of sum_slices, kernels/tree_sum.h.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/grad_slices.h"

namespace lockstep::cuda {

// Slice s (local number) of some quantity starts at data + s * stride, in device memory.
struct SlicePartials {
  const float* data = nullptr;
  int64_t stride = 0;
};

// out's partial sum t = the tree sum of the first `size` floats of each slice of subtree t; a subtree of one slice is
// copied. Subtrees hold at most 256 slices. `out` must not overlap `partials`.
absl::Status sum_slices(const KernelContext& ctx, const GradSlices& slices, const SlicePartials& partials, int64_t size,
                        const GradOutput& out);

}  // namespace lockstep::cuda
