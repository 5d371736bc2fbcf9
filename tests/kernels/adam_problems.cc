// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/adam/adam.h"
#include "tests/kernels/problem.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

class AdamProblem : public Problem {
 public:
  AdamProblem(const AdamCase& c, Fill fill, uint64_t seed)
      : case_(c),
        misalign_(misalign_of(fill)),
        m_(fill_with(fill == Fill::kNonFinite ? Fill::kUniform : fill, c.count, seed)),
        v_(absolute(fill_with(fill == Fill::kNonFinite ? Fill::kUniform : fill, c.count, seed + 1))),
        w_(fill_with(fill == Fill::kNonFinite ? Fill::kUniform : fill, c.count, seed + 2)) {
    p_.beta1_power = std::pow(0.9f, 7.0f);
    p_.beta2_power = std::pow(0.999f, 7.0f);
    for (size_t t = 0; t < c.term_slices.size(); ++t) terms_.push_back(fill_with(fill, c.count, seed + 3 + t));
  }

  std::string shape() const override { return shape_of(case_); }

  Outputs run(const KernelContext& ctx) const override {
    std::vector<std::unique_ptr<Guarded<float>>> grads;
    std::vector<GradTerm> terms;
    for (size_t t = 0; t < terms_.size(); ++t) {
      grads.push_back(std::make_unique<Guarded<float>>(terms_[t], misalign_));
      terms.push_back({grads.back()->data(), case_.term_slices[t]});
    }
    Guarded<float> m(m_, misalign_), v(v_, misalign_), w(w_, misalign_);
    EXPECT_TRUE(adam_update(ctx, p_, case_.count, terms, m.data(), v.data(), w.data()).ok());
    for (const auto& grad : grads) expect_untouched(*grad);
    expect_intact(m, v, w);
    return {{"m", {case_.count}, m.values()}, {"v", {case_.count}, v.values()}, {"w", {case_.count}, w.values()}};
  }

  // m and v are averages, so their errors are relative to the parts averaged; the error of the step follows from both.
  Outputs scales() const override {
    Outputs outputs = run({Backend::kRef});
    const double rate = p_.learning_rate * std::sqrt(1 - p_.beta2_power) / (1 - p_.beta1_power);
    for (size_t i = 0; i < w_.size(); ++i) {
      double grad = 0;
      for (const auto& term : terms_) grad += std::abs(term[i]);
      const double m_scale = std::abs(m_[i]) + grad, v_scale = v_[i] + grad * grad * (1 - p_.beta2);
      const double m = std::abs(outputs[0].values[i]), root = std::sqrt(outputs[1].values[i]);
      const double denominator = root + p_.epsilon;
      const double from_v = root > 0 ? m * v_scale / (2 * root * denominator * denominator) : 0;
      outputs[0].values[i] = static_cast<float>(m_scale);
      outputs[1].values[i] = static_cast<float>(v_scale);
      outputs[2].values[i] = static_cast<float>(std::abs(w_[i]) + rate * (m_scale / denominator + from_v));
    }
    return outputs;
  }

 private:
  const AdamCase case_;
  AdamParams p_;
  const int misalign_;
  const std::vector<float> m_, v_, w_;
  std::vector<std::vector<float>> terms_;
};

}  // namespace

std::vector<ProblemCase> adam_problems() {
  std::vector<ProblemCase> problems;
  uint64_t seed = 5000;
  for (const AdamCase& c : adam_cases()) {
    for (const Fill fill : {Fill::kUniform, Fill::kCancelling, Fill::kNonFinite}) {
      seed += 20;
      problems.push_back({"adam_" + c.name + "_" + fill_name(fill), seed, /*c=*/4,
                          [=] { return std::make_unique<AdamProblem>(c, fill, seed); }});
    }
  }
  return problems;
}

}  // namespace lockstep
