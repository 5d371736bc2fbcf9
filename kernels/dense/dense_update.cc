// SPDX-License-Identifier: Apache-2.0
#include "kernels/dense/dense_update.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/arguments.h"
#include "kernels/dense/dense_impl.h"

namespace lockstep {
namespace {

absl::Status check_host(const KernelContext& ctx, const DenseParams& p) {
  LOCKSTEP_RETURN_IF_ERROR(check_not_negative("dense_update", {{"N", p.N}, {"I", p.I}, {"O", p.O}}));
  LOCKSTEP_RETURN_IF_ERROR(check_addressable("dense_update", "the operands", {p.N, dense_operand_floats(p)}));
  LOCKSTEP_RETURN_IF_ERROR(check_addressable("dense_update", "the weights", {p.I, p.O}));
  if (!is_device(ctx.backend)) return absl::OkStatus();
  return absl::InvalidArgumentError("dense_update works on the CPU; on a GPU use dense_bwd_filter and adam_update");
}

absl::Status check_range(const char* name, const AdamRange& range, int64_t size) {
  if (0 <= range.begin && range.begin <= range.end && range.end <= size) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("dense_update: the {}'s range [{}, {}) is not within its {} elements",
                                                name, range.begin, range.end, size));
}

absl::Status check_whole_batch(const DenseParams& p, const GradSlices& slices, std::span<const DenseOperands> parts) {
  LOCKSTEP_RETURN_IF_ERROR(check_slices("dense_update", slices, p.N));
  if (slices.first_slice != 0 || slices.subtrees.size() != 1)
    return absl::InvalidArgumentError(
        fmt::format("dense_update: expected all slices in one tree, found {} subtrees", slices.subtrees.size()));
  int64_t examples = 0;
  for (const DenseOperands& part : parts) {
    LOCKSTEP_RETURN_IF_ERROR(check_not_negative("dense_update", {{"the examples of a part", part.N}}));
    examples += part.N;
  }
  if (examples == p.N) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("dense_update: the parts hold {} examples, expected {}", examples, p.N));
}

}  // namespace

absl::Status dense_operands(const KernelContext& ctx, const DenseParams& p, const float* x, const float* y,
                            const float* grad_y, float* operands) {
  LOCKSTEP_RETURN_IF_ERROR(check_host(ctx, p));
  float* const grad = operands + p.N * p.I;
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    std::copy_n(x + n * p.I, p.I, operands + n * p.I);
    for (int64_t i = n * p.O; i < (n + 1) * p.O; ++i) grad[i] = p.relu && y[i] <= 0 ? 0.0f : grad_y[i];
  });
  return absl::OkStatus();
}

int64_t dense_update_scratch_floats(const DenseParams& p) { return simd::dense_update_scratch_floats(p); }

absl::Status dense_update(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices,
                          std::span<const DenseOperands> parts, const AdamParams& adam, const AdamRange& kernel,
                          const AdamRange& bias) {
  LOCKSTEP_RETURN_IF_ERROR(check_host(ctx, p));
  LOCKSTEP_RETURN_IF_ERROR(check_whole_batch(p, slices, parts));
  LOCKSTEP_RETURN_IF_ERROR(check_range("kernel", kernel, int64_t{p.I} * p.O));
  LOCKSTEP_RETURN_IF_ERROR(check_range("bias", bias, p.O));
  const bool use_ref = ctx.backend == Backend::kRef || p.N == 0 || p.I == 0 || p.O == 0;
  return use_ref ? ref::dense_update(ctx, p, slices, parts, adam, kernel, bias)
                 : simd::dense_update(ctx, p, slices, parts, adam, kernel, bias);
}

}  // namespace lockstep
