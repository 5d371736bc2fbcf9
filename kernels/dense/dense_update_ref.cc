// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "kernels/dense/dense_impl.h"

namespace lockstep::ref {
namespace {

absl::Status update(const KernelContext& ctx, const AdamParams& adam, const std::vector<float>& grad, int slices,
                    const AdamRange& range) {
  const std::vector<GradTerm> terms{{grad.data() + range.begin, slices}};
  return adam_update(ctx, adam, range.end - range.begin, terms, range.m + range.begin, range.v + range.begin,
                     range.w + range.begin);
}

}  // namespace

absl::Status dense_update(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices,
                          std::span<const DenseOperands> parts, const AdamParams& adam, const AdamRange& kernel,
                          const AdamRange& bias) {
  std::vector<float> x, grad;
  for (const DenseOperands& part : parts) {
    const float* end_of_x = part.data + part.N * p.I;
    x.insert(x.end(), part.data, end_of_x);
    grad.insert(grad.end(), end_of_x, end_of_x + part.N * p.O);
  }
  const int64_t size = int64_t{p.I} * p.O;
  std::vector<float> grad_w(static_cast<size_t>(size)), grad_b(static_cast<size_t>(p.O));
  const DenseParams masked{.N = p.N, .I = p.I, .O = p.O, .relu = false};
  LOCKSTEP_RETURN_IF_ERROR(ref::dense_bwd_filter(ctx, masked, slices, x.data(), nullptr, grad.data(),
                                                 {grad_w.data(), size}, {grad_b.data(), p.O}));
  // With Adam of the context's backend, as SIMD kernels leave layers without examples or inputs to the plain loops.
  LOCKSTEP_RETURN_IF_ERROR(update(ctx, adam, grad_w, slices.slices(), kernel));
  return update(ctx, adam, grad_b, slices.slices(), bias);
}

}  // namespace lockstep::ref
