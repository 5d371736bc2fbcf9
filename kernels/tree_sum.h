// SPDX-License-Identifier: Apache-2.0
// Sums of per-slice gradients along the slice tree, for operators that compute slice by slice.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/grad_slices.h"

namespace lockstep {

// Slice s (local number) of some quantity starts at data + s * stride.
struct SliceTerms {
  float* data;
  int64_t stride;
};

// out's partial sum t = the tree sum of the first `size` floats of each slice of subtree t. Vectorised and in parallel.
void sum_slices(const KernelContext& ctx, const GradSlices& slices, const SliceTerms& terms, int64_t size,
                const GradOutput& out);

}  // namespace lockstep
