// SPDX-License-Identifier: Apache-2.0
#include "kernels/adam/adam.h"

#include <fmt/format.h>

#include "kernels/arguments.h"
#include "kernels/device_ops.h"

namespace lockstep {
namespace {

bool is_power_of_two(int64_t value) { return value > 0 && (value & (value - 1)) == 0; }

// Every term must be an aligned subtree, and all of them together the whole tree.
absl::Status check_terms(std::span<const GradTerm> terms) {
  if (terms.empty()) return absl::InvalidArgumentError("adam_update: there is no gradient term");
  int64_t at = 0;
  for (const GradTerm& term : terms) {
    if (!is_power_of_two(term.slices) || at % term.slices != 0) {
      return absl::InvalidArgumentError(fmt::format(
          "adam_update: a term of {} slices that starts at slice {} is not a subtree of the tree", term.slices, at));
    }
    at += term.slices;
  }
  if (!is_power_of_two(at)) {
    return absl::InvalidArgumentError(
        fmt::format("adam_update: the terms hold {} slices, expected a power of two", at));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w) {
  LOCKSTEP_RETURN_IF_ERROR(check_not_negative("adam_update", {{"count", count}}));
  LOCKSTEP_RETURN_IF_ERROR(check_terms(terms));
  if (count == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->adam_update(ctx, p, count, terms, m, v, w);
  return ctx.backend == Backend::kRef ? ref::adam_update(ctx, p, count, terms, m, v, w)
                                      : simd::adam_update(ctx, p, count, terms, m, v, w);
}

}  // namespace lockstep
