// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout/dropout.h"
#include "tests/kernels/problem.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

class DropoutProblem : public Problem {
 public:
  // Every field of the key has bits in its upper half.
  DropoutProblem(const DropoutCase& c, Fill fill, uint64_t seed)
      : case_(c),
        p_{.N = c.N,
           .units = c.units,
           .rate = c.rate,
           .seed = 0xDEADBEEF00000000u + seed,
           .step = (uint64_t{7} << 32) + 3,
           .layer = 255,
           .first_example = 0xFFFF0000u},
        misalign_(misalign_of(fill)),
        x_(fill_with(fill, c.N * c.units, seed)),
        grad_y_(fill_with(fill, c.N * c.units, seed + 1)) {}

  std::string shape() const override { return shape_of(case_); }

  Outputs run(const KernelContext& ctx) const override {
    const Guarded<float> x(x_, misalign_), grad_y(grad_y_, misalign_);
    Guarded<float> y(p_.N * p_.units, misalign_), grad_x(p_.N * p_.units, misalign_);
    EXPECT_TRUE(dropout_fwd(ctx, p_, x.data(), y.data()).ok());
    EXPECT_TRUE(dropout_bwd(ctx, p_, grad_y.data(), grad_x.data()).ok());
    expect_untouched(x, grad_y);
    expect_intact(y, grad_x);
    const std::vector<int64_t> dims{p_.N, p_.units};
    return {{"y", dims, y.values(), 0, 0.99}, {"grad_x", dims, grad_x.values(), 0, 0.99}};
  }

  Outputs scales() const override {
    Outputs outputs = run({Backend::kRef});
    for (Output& output : outputs) output.values = absolute(output.values);
    return outputs;
  }

 private:
  const DropoutCase case_;
  const DropoutParams p_;
  const int misalign_;
  const std::vector<float> x_, grad_y_;
};

}  // namespace

std::vector<ProblemCase> dropout_problems() {
  std::vector<ProblemCase> problems;
  uint64_t seed = 3000;
  for (const DropoutCase& c : dropout_cases()) {
    for (const Fill fill : {Fill::kUniform, Fill::kCancelling, Fill::kNonFinite}) {
      seed += 10;
      problems.push_back({"dropout_" + c.name + "_" + fill_name(fill), seed, /*c=*/2,
                          [=] { return std::make_unique<DropoutProblem>(c, fill, seed); }});
    }
  }
  return problems;
}

}  // namespace lockstep
