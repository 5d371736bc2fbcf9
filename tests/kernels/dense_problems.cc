// SPDX-License-Identifier: Apache-2.0
#include "kernels/dense/dense.h"
#include "tests/kernels/problem.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

// Non-finite weights in one place are enough to make every row non-finite; examples are where it matters. So are zeros.
Fill weights_of(Fill fill) { return is_non_finite(fill) || is_blank(fill) ? Fill::kUniform : fill; }

class DenseProblem : public Problem {
 public:
  DenseProblem(const DenseCase& c, Fill fill, uint64_t seed)
      : case_(c),
        p_(c.p),
        misalign_(misalign_of(fill)),
        slices_(two_subtrees(c.p.N)),
        x_(fill_with(fill, p_.N * p_.I, seed)),
        w_(fill_with(weights_of(fill), int64_t{p_.I} * p_.O, seed + 1)),
        b_(fill_with(weights_of(fill), p_.O, seed + 2)),
        grad_y_(fill_with(is_blank(fill) ? Fill::kUniform : fill, p_.N * p_.O, seed + 3)),
        y_(static_cast<size_t>(p_.N * p_.O)) {
    EXPECT_TRUE(dense_fwd({Backend::kRef}, p_, x_.data(), w_.data(), b_.data(), y_.data()).ok());
  }

  std::string shape() const override { return shape_of(case_); }

  Outputs run(const KernelContext& ctx) const override { return run(ctx, x_, w_, b_, grad_y_); }

  Outputs scales() const override {
    return run({Backend::kRef}, absolute(x_), absolute(w_), absolute(b_), absolute(grad_y_));
  }

 private:
  Outputs run(const KernelContext& ctx, const std::vector<float>& x_values, const std::vector<float>& w_values,
              const std::vector<float>& b_values, const std::vector<float>& grad_values) const {
    const Guarded<float> x(x_values, misalign_), w(w_values, misalign_), b(b_values, misalign_);
    const Guarded<float> y_ref(y_, misalign_), grad_y(grad_values, misalign_);
    Guarded<float> y(p_.N * p_.O, misalign_), grad_x(p_.N * p_.I, misalign_);
    PartialSums grad_w(slices_, int64_t{p_.I} * p_.O, misalign_), grad_b(slices_, p_.O, misalign_);
    EXPECT_TRUE(dense_fwd(ctx, p_, x.data(), w.data(), b.data(), y.data()).ok());
    expect_same_packed(
        dense_packed_floats(ctx, p_), [&](float* packed) { return dense_pack(ctx, p_, w.data(), packed); },
        [&](const float* packed, float* out) { return dense_fwd_packed(ctx, p_, x.data(), packed, b.data(), out); }, y,
        misalign_);
    EXPECT_TRUE(dense_bwd_data(ctx, p_, w.data(), y_ref.data(), grad_y.data(), grad_x.data()).ok());
    EXPECT_TRUE(
        dense_bwd_filter(ctx, p_, slices_, x.data(), y_ref.data(), grad_y.data(), grad_w.output(), grad_b.output())
            .ok());
    expect_untouched(x, w, b, y_ref, grad_y);
    expect_intact(y, grad_x, grad_w, grad_b);
    // Without examples or outputs there are zero gradients and nothing else; one example leaves a subtree empty.
    const double max_repeated = p_.N == 0 || p_.O == 0 ? 1 : p_.N == 1 ? 0.98 : 0.9;
    return {{"y", {p_.N, p_.O}, y.values(), p_.I},
            {"grad_x", {p_.N, p_.I}, grad_x.values(), p_.O, max_repeated},
            {"grad_w", {2, p_.I, p_.O}, grad_w.values(), p_.N, max_repeated},
            {"grad_b", {2, p_.O}, grad_b.values(), p_.N, max_repeated}};
  }

  const DenseCase case_;
  const DenseParams p_;
  const int misalign_;
  const GradSlices slices_;
  const std::vector<float> x_, w_, b_, grad_y_;
  std::vector<float> y_;
};

}  // namespace

std::vector<ProblemCase> dense_problems() {
  std::vector<ProblemCase> problems;
  uint64_t seed = 2000;
  for (const DenseCase& c : dense_cases()) {
    for (const Fill fill : product_fills()) {
      // No zero is skipped without a ReLU; runs of 16 would blank whole examples.
      if (is_blank(fill) && (!c.p.relu || c.p.I < 16)) continue;
      seed += 10;
      problems.push_back({"dense_" + c.name + "_" + fill_name(fill), seed, /*c=*/3,
                          [=] { return std::make_unique<DenseProblem>(c, fill, seed); }});
    }
  }
  return problems;
}

}  // namespace lockstep
