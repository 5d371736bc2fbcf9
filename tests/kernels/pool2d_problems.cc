// SPDX-License-Identifier: Apache-2.0
#include "kernels/pool2d/pool2d.h"
#include "tests/kernels/problem.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

class Pool2dProblem : public Problem {
 public:
  Pool2dProblem(const Pool2dCase& c, Fill fill, uint64_t seed)
      : case_(c),
        p_(c.p),
        misalign_(misalign_of(fill)),
        x_(fill_with(fill, p_.N * p_.H * p_.W * p_.C, seed)),
        grad_y_(fill_with(fill, out_size(), seed + 1)) {}

  std::string shape() const override { return shape_of(case_); }

  Outputs run(const KernelContext& ctx) const override {
    const Guarded<float> x(x_, misalign_), grad_y(grad_y_, misalign_);
    Guarded<float> y(out_size(), misalign_), grad_x(p_.N * p_.H * p_.W * p_.C, misalign_);
    Guarded<uint8_t> argmax(out_size(), misalign_);
    EXPECT_TRUE(pool2d_max_fwd(ctx, p_, x.data(), y.data(), argmax.data()).ok());
    EXPECT_TRUE(pool2d_max_bwd(ctx, p_, argmax.data(), grad_y.data(), grad_x.data()).ok());
    expect_untouched(x, grad_y);
    expect_intact(y, argmax, grad_x);
    const std::vector<int64_t> out_dims{p_.N, p_.OH(), p_.OW(), p_.C};
    // A window passes on one gradient, so most of grad_x may be zero. The few large windows of one image may well have
    // the same maximum, or all of them the first position.
    const bool large = p_.window > 8;
    return {{"y", out_dims, y.values(), 0, large ? 1 : 0.9},
            {"argmax", out_dims, as_floats(argmax), 0, 1},
            {"grad_x", {p_.N, p_.H, p_.W, p_.C}, grad_x.values(), 0, large ? 1 : 0.99}};
  }

  // Maxima are copied and the few additions of backward have a fixed order: nothing to tolerate.
  Outputs scales() const override {
    Outputs outputs = run({Backend::kRef});
    for (Output& output : outputs) std::fill(output.values.begin(), output.values.end(), 0.0f);
    return outputs;
  }

 private:
  int64_t out_size() const { return p_.N * p_.OH() * p_.OW() * p_.C; }

  const Pool2dCase case_;
  const Pool2dParams p_;
  const int misalign_;
  const std::vector<float> x_, grad_y_;
};

}  // namespace

std::vector<ProblemCase> pool2d_problems() {
  std::vector<ProblemCase> problems;
  uint64_t seed = 1000;
  for (const Pool2dCase& c : pool2d_cases()) {
    for (const Fill fill : {Fill::kGrid, Fill::kCancelling, Fill::kNonFinite}) {
      seed += 10;
      problems.push_back({"pool2d_" + c.name + "_" + fill_name(fill), seed, /*c=*/0,
                          [=] { return std::make_unique<Pool2dProblem>(c, fill, seed); }});
    }
  }
  return problems;
}

}  // namespace lockstep
