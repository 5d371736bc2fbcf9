// SPDX-License-Identifier: Apache-2.0
// One operator on one shape with one set of inputs, in a form that every generic test can run: parity with the oracle
// and equality of instruction sets and thread counts. A new operator is a new list of problems, not a new test body.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/grad_slices.h"
#include "tests/support/fill.h"
#include "tests/support/guarded.h"

namespace lockstep {

// One array that an operator wrote.
struct Output {
  std::string name;
  std::vector<int64_t> dims;
  std::vector<float> values;
  int64_t terms = 0;          // additions chained for one element, at most
  double max_repeated = 0.9;  // see CompareContext
};
using Outputs = std::vector<Output>;

class Problem {
 public:
  virtual ~Problem() = default;
  virtual std::string shape() const = 0;
  // Runs every pass of the operator between guard words and expects that they and the inputs stay as they are. The
  // backward passes get the oracle's forward outputs, so that a rounding difference cannot flip a ReLU or a maximum.
  virtual Outputs run(const KernelContext& ctx) const = 0;
  // What the tolerance of each element of run() is proportional to.
  virtual Outputs scales() const = 0;
  // How many times wider the tolerance is on a device, whose library may compute in a way with larger errors.
  virtual double device_slack() const { return 1; }
};

enum class Fill {
  kUniform,     // aligned buffers
  kCancelling,  // buffers one float off every alignment
  kGrid,        // ties
  kNonFinite,   // a few NaNs and infinities among uniform values
  kBlank,       // two of three values are zero, in runs, some of them -0
  kBlankNonFinite,
};

struct ProblemCase {
  std::string name;  // "conv2d_odd_relu_cancelling"
  uint64_t seed = 0;
  double c = 0;  // tolerance = (c + sqrt(terms) / 2) * epsilon * scale, for the reasons in docs/numerics.md
  std::function<std::unique_ptr<Problem>()> make;
};
inline std::ostream& operator<<(std::ostream& out, const ProblemCase& problem) { return out << problem.name; }

std::vector<ProblemCase> conv2d_problems();
std::vector<ProblemCase> pool2d_problems();
std::vector<ProblemCase> dense_problems();
std::vector<ProblemCase> dropout_problems();
std::vector<ProblemCase> softmax_xent_problems();
std::vector<ProblemCase> adam_problems();

inline bool is_blank(Fill fill) { return fill == Fill::kBlank || fill == Fill::kBlankNonFinite; }
inline bool is_non_finite(Fill fill) { return fill == Fill::kNonFinite || fill == Fill::kBlankNonFinite; }

// Pieces for the lists.
std::string fill_name(Fill fill);
std::vector<float> fill_with(Fill fill, int64_t size, uint64_t seed);
// What products are tried with. Zeros are skipped on the host alone: emulated GPUs, which are slow, get no blank ones.
std::vector<Fill> product_fills();
inline int misalign_of(Fill fill) { return fill == Fill::kCancelling ? 1 : 0; }

// A few slices, one of them empty, in two subtrees that do not start at slice 0.
GradSlices two_subtrees(int64_t examples);

// Partial sums with a gap between them, which must stay as it is.
class PartialSums {
 public:
  PartialSums(const GradSlices& slices, int64_t size, int misalign);
  GradOutput output() { return {buffer_.data(), size_ + kGap}; }
  // The partial sums behind each other.
  std::vector<float> values() const;
  ::testing::AssertionResult intact() const;

 private:
  static constexpr int64_t kGap = 4;  // 16 bytes: where the first partial sum is aligned the others may be
  int64_t size_;
  int64_t count_;
  Guarded<float> buffer_;
};

template <typename... Buffers>
void expect_untouched(const Buffers&... inputs) {
  for (const ::testing::AssertionResult& result : {inputs.untouched()...}) EXPECT_TRUE(result);
}
template <typename... Buffers>
void expect_intact(const Buffers&... outputs) {
  for (const ::testing::AssertionResult& result : {outputs.intact()...}) EXPECT_TRUE(result);
}

// Expects the bits of `y` from `forward(packed weights, output)`, run on what `pack` wrote into `floats` floats; none
// are the end of it. `misalign` as for the problem's own buffers.
void expect_same_packed(int64_t floats, const std::function<absl::Status(float* packed)>& pack,
                        const std::function<absl::Status(const float* packed, float* y)>& forward,
                        const Guarded<float>& y, int misalign);

// Argument positions as floats, exact.
std::vector<float> as_floats(const Guarded<uint8_t>& values);

}  // namespace lockstep
