// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/conv2d_algorithm.h"
#include "tests/kernels/problem.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

// How much larger than the sums themselves the intermediate sums of the transforms get; see docs/numerics.md.
float growth(ConvWay way) { return way == ConvWay::kWinograd ? 8.0f : 0.5f; }

struct Inputs {
  std::vector<float> x, w, b, grad_y, grad_pooled;
};

// Inputs and the oracle's forward outputs, between guard words.
struct Buffers {
  Guarded<float> x, w, b, y, pooled, grad_y, grad_pooled;
  Guarded<uint8_t> argmax;
};

class Conv2dProblem : public Problem {
 public:
  Conv2dProblem(const Conv2dCase& c, Fill fill, uint64_t seed)
      : case_(c), p_(c.p), pool_(c.pool), misalign_(misalign_of(fill)), slices_(two_subtrees(c.p.N)) {
    in_.x = fill_with(fill, p_.N * p_.H * p_.W * p_.C, seed);
    // Non-finite weights would meet the padding, where 0 * infinity depends on whether it is multiplied or skipped.
    const Fill weights = is_non_finite(fill) || is_blank(fill) ? Fill::kUniform : fill;
    const Fill gradients = is_blank(fill) ? Fill::kUniform : fill;
    in_.w = fill_with(weights, p_.filter_size(), seed + 1);
    in_.b = fill_with(weights, p_.K, seed + 2);
    in_.grad_y = fill_with(gradients, out_size(), seed + 3);
    in_.grad_pooled = fill_with(gradients, pooled_size(), seed + 4);
    y_.resize(static_cast<size_t>(out_size()));
    pooled_.resize(static_cast<size_t>(pooled_size()));
    argmax_.resize(static_cast<size_t>(pooled_size()));
    const KernelContext ref{Backend::kRef};
    EXPECT_TRUE(conv2d_fwd(ref, p_, in_.x.data(), in_.w.data(), in_.b.data(), y_.data()).ok());
    EXPECT_TRUE(
        conv2d_pool_fwd(ref, p_, pool_, in_.x.data(), in_.w.data(), in_.b.data(), pooled_.data(), argmax_.data()).ok());
  }

  std::string shape() const override { return shape_of(case_); }

  Outputs run(const KernelContext& ctx) const override { return run(ctx, p_, in_); }

  // The oracle on absolute values, the ReLU and the masks in place. Transforms mix the elements of a tile or plane,
  // so that the largest of them, not an element's own products, say how far it may be off.
  Outputs scales() const override {
    const Inputs in{absolute(in_.x), absolute(in_.w), absolute(in_.b), absolute(in_.grad_y), absolute(in_.grad_pooled)};
    Outputs outputs = run({Backend::kRef}, p_, in);
    const ConvWay way = conv_way(p_);
    if (way == ConvWay::kDirect) return outputs;
    for (Output& output : outputs) {
      if (output.values.empty() || output.name.ends_with("grad_b")) continue;  // plain sums
      const float largest = *std::max_element(output.values.begin(), output.values.end());
      std::fill(output.values.begin(), output.values.end(), growth(way) * largest);
    }
    return outputs;
  }

  // cuDNN may go by Winograd wherever we do not convolve directly (conv2d_cudnn.cc).
  double device_slack() const override {
    return conv_way(p_) == ConvWay::kFft ? growth(ConvWay::kWinograd) / growth(ConvWay::kFft) : 1;
  }

 private:
  int64_t out_size() const { return p_.N * p_.OH() * p_.OW() * p_.K; }
  int64_t forward_terms() const { return int64_t{p_.R} * p_.S * p_.C; }
  int64_t pooled_size() const { return p_.N * pool_.OH() * pool_.OW() * p_.K; }

  Outputs run(const KernelContext& ctx, const Conv2dParams& p, const Inputs& in) const {
    const Buffers buffers{Guarded(in.x, misalign_),           Guarded(in.w, misalign_),
                          Guarded(in.b, misalign_),           Guarded(y_, misalign_),
                          Guarded(pooled_, misalign_),        Guarded(in.grad_y, misalign_),
                          Guarded(in.grad_pooled, misalign_), Guarded(argmax_, misalign_)};
    Outputs outputs;
    forward(ctx, p, buffers, outputs);
    backward(ctx, p, buffers, outputs);
    pooled_forward(ctx, p, buffers, outputs);
    pooled_backward(ctx, p, buffers, outputs);
    expect_untouched(buffers.x, buffers.w, buffers.b, buffers.y, buffers.pooled, buffers.grad_y, buffers.grad_pooled,
                     buffers.argmax);
    return outputs;
  }

  void forward(const KernelContext& ctx, const Conv2dParams& p, const Buffers& in, Outputs& outputs) const {
    Guarded<float> y(out_size(), misalign_);
    EXPECT_TRUE(conv2d_fwd(ctx, p, in.x.data(), in.w.data(), in.b.data(), y.data()).ok());
    expect_intact(y);
    expect_same_packed(
        conv2d_packed_floats(ctx, p), [&](float* packed) { return conv2d_pack(ctx, p, in.w.data(), packed); },
        [&](const float* packed, float* out) {
          return conv2d_fwd_packed(ctx, p, in.x.data(), packed, in.b.data(), out);
        },
        y, misalign_);
    outputs.push_back({"y", {p.N, p.OH(), p.OW(), p.K}, y.values(), forward_terms()});
  }

  void backward(const KernelContext& ctx, const Conv2dParams& p, const Buffers& in, Outputs& outputs) const {
    Guarded<float> grad_x(p.N * p.H * p.W * p.C, misalign_);
    PartialSums grad_w(slices_, p.filter_size(), misalign_), grad_b(slices_, p.K, misalign_);
    EXPECT_TRUE(conv2d_bwd_data(ctx, p, in.w.data(), in.y.data(), in.grad_y.data(), grad_x.data()).ok());
    EXPECT_TRUE(
        conv2d_bwd_filter(ctx, p, slices_, in.x.data(), in.y.data(), in.grad_y.data(), grad_w.output(), grad_b.output())
            .ok());
    expect_same_together(
        [&](GradOutput w, GradOutput b, float* x) {
          return conv2d_bwd(ctx, p, slices_, in.x.data(), in.w.data(), in.y.data(), in.grad_y.data(), w, b, x);
        },
        grad_x, grad_w, grad_b);
    add_gradients("", p, grad_x, grad_w, grad_b, outputs);
  }

  // The bits of the two gradients in one call.
  template <typename Both>
  void expect_same_together(const Both& both, const Guarded<float>& grad_x, const PartialSums& grad_w,
                            const PartialSums& grad_b) const {
    Guarded<float> x(p_.N * p_.H * p_.W * p_.C, misalign_);
    PartialSums w(slices_, p_.filter_size(), misalign_), b(slices_, p_.K, misalign_);
    EXPECT_TRUE(both(w.output(), b.output(), x.data()).ok());
    expect_intact(x, w, b);
    const double max_repeated = p_.N == 0 ? 1 : 0.9;
    const auto same = [&](const char* what, std::vector<int64_t> dims, const auto& expected, const auto& got) {
      EXPECT_TRUE(same_bits(
          expected.values(), got.values(),
          {.what = what, .dims = std::move(dims), .shape = shape(), .backend = "", .max_repeated = max_repeated}));
    };
    same("grad_x of both", {p_.N, p_.H, p_.W, p_.C}, grad_x, x);
    same("grad_w of both", {2, p_.R, p_.S, p_.C, p_.K}, grad_w, w);
    same("grad_b of both", {2, p_.K}, grad_b, b);
  }

  void pooled_forward(const KernelContext& ctx, const Conv2dParams& p, const Buffers& in, Outputs& outputs) const {
    Guarded<float> y(pooled_size(), misalign_);
    Guarded<uint8_t> argmax(pooled_size(), misalign_);
    EXPECT_TRUE(conv2d_pool_fwd(ctx, p, pool_, in.x.data(), in.w.data(), in.b.data(), y.data(), argmax.data()).ok());
    expect_intact(y, argmax);
    expect_same_packed(
        conv2d_packed_floats(ctx, p), [&](float* packed) { return conv2d_pack(ctx, p, in.w.data(), packed); },
        [&](const float* packed, float* out) {
          return conv2d_pool_fwd_packed(ctx, p, pool_, in.x.data(), packed, in.b.data(), out);
        },
        y, misalign_);
    outputs.push_back({"pooled y", {p.N, pool_.OH(), pool_.OW(), p.K}, y.values(), forward_terms()});
  }

  void pooled_backward(const KernelContext& ctx, const Conv2dParams& p, const Buffers& in, Outputs& outputs) const {
    Guarded<float> grad_x(p.N * p.H * p.W * p.C, misalign_);
    PartialSums grad_w(slices_, p.filter_size(), misalign_), grad_b(slices_, p.K, misalign_);
    EXPECT_TRUE(conv2d_pool_bwd_data(ctx, p, pool_, in.w.data(), in.pooled.data(), in.argmax.data(),
                                     in.grad_pooled.data(), grad_x.data())
                    .ok());
    EXPECT_TRUE(conv2d_pool_bwd_filter(ctx, p, pool_, slices_, in.x.data(), in.pooled.data(), in.argmax.data(),
                                       in.grad_pooled.data(), grad_w.output(), grad_b.output())
                    .ok());
    expect_same_together(
        [&](GradOutput w, GradOutput b, float* x) {
          return conv2d_pool_bwd(ctx, p, pool_, slices_, in.x.data(), in.w.data(), in.pooled.data(), in.argmax.data(),
                                 in.grad_pooled.data(), w, b, x);
        },
        grad_x, grad_w, grad_b);
    add_gradients("pooled ", p, grad_x, grad_w, grad_b, outputs);
  }

  void add_gradients(const std::string& prefix, const Conv2dParams& p, const Guarded<float>& grad_x,
                     const PartialSums& grad_w, const PartialSums& grad_b, Outputs& outputs) const {
    expect_intact(grad_x, grad_w, grad_b);
    const int64_t data_terms = int64_t{p.R} * p.S * p.K, filter_terms = p.N * p.OH() * p.OW();
    // An empty batch has zero gradients and nothing else.
    const double max_repeated = p.N == 0 ? 1 : 0.9;
    outputs.push_back({prefix + "grad_x", {p.N, p.H, p.W, p.C}, grad_x.values(), data_terms, max_repeated});
    outputs.push_back({prefix + "grad_w", {2, p.R, p.S, p.C, p.K}, grad_w.values(), filter_terms, max_repeated});
    outputs.push_back({prefix + "grad_b", {2, p.K}, grad_b.values(), filter_terms, max_repeated});
  }

  const Conv2dCase case_;
  const Conv2dParams p_;
  const Pool2dParams pool_;
  const int misalign_;
  const GradSlices slices_;
  Inputs in_;
  std::vector<float> y_, pooled_;
  std::vector<uint8_t> argmax_;
};

}  // namespace

std::vector<ProblemCase> conv2d_problems() {
  std::vector<ProblemCase> problems;
  uint64_t seed = 100;
  for (const Conv2dCase& c : conv2d_cases()) {
    for (const Fill fill : product_fills()) {
      // Padding multiplies infinities by zero, and transforms spread them: neither is comparable.
      if (is_non_finite(fill) && (c.p.padding != Padding::kValid || conv_way(c.p) != ConvWay::kDirect)) continue;
      if (is_blank(fill) && (!c.p.relu || c.p.C != 1)) continue;  // no zero is skipped
      seed += 10;
      problems.push_back({"conv2d_" + c.name + "_" + fill_name(fill), seed, /*c=*/3,
                          [=] { return std::make_unique<Conv2dProblem>(c, fill, seed); }});
    }
  }
  return problems;
}

}  // namespace lockstep
