// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/softmax_xent/softmax_xent.h"
#include "tests/kernels/problem.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

class SoftmaxXentProblem : public Problem {
 public:
  SoftmaxXentProblem(const SoftmaxCase& c, Fill fill, uint64_t seed)
      : case_(c),
        p_{.N = c.N, .C = c.C, .grad_scale = 1.0f / 32},
        misalign_(misalign_of(fill)),
        logits_(fill == Fill::kCancelling ? fill_logits(c.N, c.C, seed) : fill_with(fill, c.N * c.C, seed)),
        labels_(fill_labels(c.N, c.C, seed + 1)) {}

  std::string shape() const override { return shape_of(case_); }

  Outputs run(const KernelContext& ctx) const override {
    const Guarded<float> logits(logits_, misalign_);
    const Guarded<int32_t> labels(labels_, misalign_);
    const int64_t size = p_.N * p_.C;
    Guarded<float> loss(p_.N, misalign_), probabilities(size, misalign_), grad(size, misalign_), alone(size, misalign_);
    EXPECT_TRUE(
        softmax_xent(ctx, p_, logits.data(), labels.data(), loss.data(), probabilities.data(), grad.data()).ok());
    EXPECT_TRUE(softmax(ctx, p_.N, p_.C, logits.data(), alone.data()).ok());
    expect_untouched(logits, labels);
    expect_intact(loss, probabilities, grad, alone);
    const std::vector<int64_t> dims{p_.N, p_.C};
    // Wide logits leave one probability near 1 in a row and zeros beside it.
    return {{"loss", {p_.N}, loss.values(), p_.C, 0.99},
            {"probabilities", dims, probabilities.values(), p_.C, 0.99},
            {"grad_logits", dims, grad.values(), p_.C, 0.99},
            {"softmax", dims, alone.values(), p_.C, 0.99}};
  }

  // With d = maximum - logit: rounding d moves exp(-d) by d * epsilon, relatively.
  Outputs scales() const override {
    Outputs outputs = run({Backend::kRef});
    for (int64_t n = 0; n < p_.N; ++n) {
      const float* row = logits_.data() + n * p_.C;
      const double max = *std::max_element(row, row + p_.C);
      const double label_distance = max - row[labels_[static_cast<size_t>(n)]];
      outputs[0].values[static_cast<size_t>(n)] = static_cast<float>(1 + label_distance + std::log(p_.C));
      for (int c = 0; c < p_.C; ++c) {
        const size_t i = static_cast<size_t>(n * p_.C + c);
        const double scale = outputs[1].values[i] * (2 + max - row[c]);
        const double label = c == labels_[static_cast<size_t>(n)] ? 1 : 0;
        outputs[2].values[i] = static_cast<float>((scale + label) * p_.grad_scale);
        outputs[1].values[i] = outputs[3].values[i] = static_cast<float>(scale);
      }
    }
    return outputs;
  }

 private:
  const SoftmaxCase case_;
  const SoftmaxXentParams p_;
  const int misalign_;
  const std::vector<float> logits_;
  const std::vector<int32_t> labels_;
};

}  // namespace

std::vector<ProblemCase> softmax_xent_problems() {
  std::vector<ProblemCase> problems;
  uint64_t seed = 4000;
  for (const SoftmaxCase& c : softmax_cases()) {
    for (const Fill fill : {Fill::kUniform, Fill::kCancelling, Fill::kGrid, Fill::kNonFinite}) {
      seed += 10;
      problems.push_back({"softmax_xent_" + c.name + "_" + fill_name(fill), seed, /*c=*/4,
                          [=] { return std::make_unique<SoftmaxXentProblem>(c, fill, seed); }});
    }
  }
  return problems;
}

}  // namespace lockstep
