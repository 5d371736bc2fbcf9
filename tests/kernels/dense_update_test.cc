// SPDX-License-Identifier: Apache-2.0
#include "kernels/dense/dense_update.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/kernels/on_backends.h"
#include "tests/support/compare.h"
#include "tests/support/fill.h"
#include "tests/support/guarded.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Floats = std::vector<float>;

constexpr int kSlices = 8;

AdamParams adam_after_seven_steps() {
  return {.beta1_power = std::pow(0.9f, 7.0f), .beta2_power = std::pow(0.999f, 7.0f)};
}

// Kernel and bias, each with its moments.
struct State {
  Floats m, v, w;
  int64_t size() const { return static_cast<int64_t>(w.size()); }
};

State make_state(int64_t size, uint64_t seed) {
  return {fill_uniform(size, seed), absolute(fill_uniform(size, seed + 1)), fill_uniform(size, seed + 2)};
}

void expect_same(const State& expected, const State& got, const CompareContext& context) {
  EXPECT_TRUE(same_bits(expected.m, got.m, context)) << "m";
  EXPECT_TRUE(same_bits(expected.v, got.v, context)) << "v";
  EXPECT_TRUE(same_bits(expected.w, got.w, context)) << "w";
}

// A layer in the middle of training, and both ways to update it.
class Layer {
 public:
  explicit Layer(const DenseParams& p, int misalign = 0)
      : p_(p),
        misalign_(misalign),
        x_(fill_cancelling(p.N * p.I, 1)),
        y_(fill_uniform(p.N * p.O, 2)),
        grad_y_(fill_cancelling(p.N * p.O, 3)),
        kernel_(make_state(int64_t{p.I} * p.O, 4)),
        bias_(make_state(p.O, 7)) {}

  Floats& x() { return x_; }
  const State& kernel() const { return kernel_; }
  const State& bias() const { return bias_; }

  // Gradient in memory, then Adam.
  void update_in_two_steps(const KernelContext& ctx) {
    Floats grad_w(kernel_.w.size()), grad_b(bias_.w.size());
    const GradSlices slices = all_slices();
    ASSERT_TRUE(dense_bwd_filter(ctx, p_, slices, x_.data(), y_.data(), grad_y_.data(), {grad_w.data(), kernel_.size()},
                                 {grad_b.data(), bias_.size()})
                    .ok());
    const auto adam = [&](const Floats& grad, State& state) {
      const std::vector<GradTerm> terms{{grad.data(), kSlices}};
      return adam_update(ctx, adam_after_seven_steps(), state.size(), terms, state.m.data(), state.v.data(),
                         state.w.data());
    };
    ASSERT_TRUE(adam(grad_w, kernel_).ok());
    ASSERT_TRUE(adam(grad_b, bias_).ok());
  }

  // The examples as `ranks` ranks hold them, the weights in `shards` ranges, one call each.
  void update_from_operands(const KernelContext& ctx, int ranks, int shards) {
    std::vector<std::unique_ptr<Guarded<float>>> buffers;
    std::vector<DenseOperands> parts;
    for (int rank = 0; rank < ranks; ++rank) {
      const GradSlices local = GradSlices::for_rank(rank, ranks, kSlices, p_.N);
      const int64_t first = slice_begin(local.first_slice, kSlices, p_.N);
      DenseParams p = p_;
      p.N = local.examples();
      buffers.push_back(std::make_unique<Guarded<float>>(p.N * dense_operand_floats(p), misalign_));
      ASSERT_TRUE(dense_operands(ctx, p, x_.data() + first * p.I, y_.data() + first * p.O, grad_y_.data() + first * p.O,
                                 buffers.back()->data())
                      .ok());
      parts.push_back({p.N, buffers.back()->data()});
    }
    GuardedState kernel(kernel_, misalign_), bias(bias_, misalign_);
    for (int shard = 0; shard < shards; ++shard) {
      ASSERT_TRUE(dense_update(ctx, p_, all_slices(), parts, adam_after_seven_steps(), kernel.range(shard, shards),
                               bias.range(shard, shards))
                      .ok());
    }
    for (const auto& buffer : buffers) EXPECT_TRUE(buffer->intact());
    kernel_ = kernel.taken();
    bias_ = bias.taken();
  }

 private:
  class GuardedState {
   public:
    GuardedState(const State& state, int misalign)
        : m_(state.m, misalign), v_(state.v, misalign), w_(state.w, misalign), size_(state.size()) {}
    AdamRange range(int shard, int shards) {
      return {shard * size_ / shards, (shard + 1) * size_ / shards, m_.data(), v_.data(), w_.data()};
    }
    State taken() const {
      for (const auto* buffer : {&m_, &v_, &w_}) EXPECT_TRUE(buffer->intact());
      return {m_.values(), v_.values(), w_.values()};
    }

   private:
    Guarded<float> m_, v_, w_;
    int64_t size_;
  };

  GradSlices all_slices() const { return GradSlices::for_rank(0, 1, kSlices, p_.N); }

  DenseParams p_;
  int misalign_;
  Floats x_, y_, grad_y_;
  State kernel_, bias_;
};

class DenseUpdate : public OnBackends {
 protected:
  void expect_equal_updates(Layer one, const DenseCase& c, int ranks, int shards, ThreadPool* pool = nullptr) {
    Layer other = one;
    KernelContext context = ctx();
    context.pool = pool;
    one.update_in_two_steps(context);
    other.update_from_operands(context, ranks, shards);
    const std::string how = shape_of(c) + " of " + std::to_string(ranks) + " ranks, " + std::to_string(shards) +
                            " shards, " + std::to_string(pool == nullptr ? 0 : pool->threads()) + " threads";
    expect_same(one.kernel(), other.kernel(), {"kernel", {c.p.I, c.p.O}, how, GetParam().name, 1});
    expect_same(one.bias(), other.bias(), {"bias", {c.p.O}, how, GetParam().name, 1});
  }
};
LOCKSTEP_ON_ALL_BACKENDS(DenseUpdate);

// Adam's first step moves each weight by the learning rate against the sign of its gradient.
TEST_P(DenseUpdate, HandWorked) {
  const DenseParams p{.N = 2, .I = 2, .O = 3, .relu = true};
  const Floats x{1, 2, 3, 4}, y{1, 0, 1, 1, 1, 1}, grad_y{1, 9, 2, 0, 1, -2};
  Floats operands(10);
  ASSERT_TRUE(dense_operands(ctx(), p, x.data(), y.data(), grad_y.data(), operands.data()).ok());
  EXPECT_THAT(operands, ElementsAre(1, 2, 3, 4, 1, 0, 2, 0, 1, -2));
  Floats m(9), v(9), w(9);
  const AdamParams adam{.learning_rate = 0.5f, .epsilon = 0, .beta1_power = 0.9f, .beta2_power = 0.999f};
  const std::vector<DenseOperands> parts{{2, operands.data()}};
  ASSERT_TRUE(dense_update(ctx(), p, GradSlices::for_rank(0, 1, 2, 2), parts, adam,
                           {0, 6, m.data(), v.data(), w.data()}, {0, 2, m.data() + 6, v.data() + 6, w.data() + 6})
                  .ok());
  const Floats gradient{1, 3, -4, 2, 4, -4, 1, 1};
  for (size_t i = 0; i < gradient.size(); ++i) {
    EXPECT_NEAR(m[i], 0.1f * gradient[i], 1e-6f) << i;
    EXPECT_NEAR(w[i], gradient[i] > 0 ? -0.5f : 0.5f, 1e-5f) << i;
  }
  EXPECT_EQ(w[8], 0) << "outside of the range";
}

TEST_P(DenseUpdate, HasTheBitsOfGradientAndAdam) {
  for (const DenseCase& c : dense_cases()) {
    for (const int misalign : {0, 1}) expect_equal_updates(Layer(c.p, misalign), c, 1, 1);
  }
}

TEST_P(DenseUpdate, RanksAndShardsDoNotChangeABit) {
  for (const DenseCase& c : std::vector<DenseCase>{{"odd", {.N = 53, .I = 15, .O = 35, .relu = true}},
                                                   {"wide", {.N = 19, .I = 31, .O = 261}},
                                                   {"few_examples", {.N = 3, .I = 7, .O = 66, .relu = true}}}) {
    for (const int ranks : {1, 2, 3, 4, 5, 8}) expect_equal_updates(Layer(c.p), c, ranks, ranks);
    expect_equal_updates(Layer(c.p), c, 2, 29);
  }
}

TEST_P(DenseUpdate, ThreadsDoNotChangeABit) {
  const DenseCase c{"threads", {.N = 24, .I = 67, .O = 70, .relu = true}};
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    expect_equal_updates(Layer(c.p), c, 2, 3, &pool);
  }
}

TEST_P(DenseUpdate, NonFiniteInputsReachTheSameWeights) {
  const DenseCase c{"non_finite", {.N = 9, .I = 33, .O = 40}};
  Layer layer(c.p);
  layer.x()[5 * 33 + 7] = std::nanf("");
  layer.x()[8 * 33 + 32] = std::numeric_limits<float>::infinity();
  expect_equal_updates(layer, c, 3, 3);
}

TEST_P(DenseUpdate, SizesThatDoNotFitAreRefused) {
  const DenseParams p{.N = 4, .I = 2, .O = 3};
  const GradSlices slices = GradSlices::for_rank(0, 1, 2, 4);
  Floats operands(20), values(9);
  const AdamRange none{0, 0, values.data(), values.data(), values.data()};
  const auto message = [&](const GradSlices& of, int64_t examples, AdamRange kernel, AdamRange bias) {
    const std::vector<DenseOperands> parts{{1, operands.data()}, {examples, operands.data()}};
    return std::string(dense_update(ctx(), p, of, parts, {}, kernel, bias).message());
  };
  const auto range = [&](int64_t begin, int64_t end) {
    AdamRange result = none;
    result.begin = begin, result.end = end;
    return result;
  };
  EXPECT_THAT(message(slices, 2, none, none), HasSubstr("parts hold 3 examples, expected 4"));
  EXPECT_THAT(message(slices, 3, range(0, 7), none), HasSubstr("kernel's range [0, 7) is not within its 6 elements"));
  EXPECT_THAT(message(slices, 3, none, range(2, 1)), HasSubstr("bias's range [2, 1) is not within its 3 elements"));
  EXPECT_THAT(message(GradSlices::for_rank(1, 3, 8, 12), 3, none, none), HasSubstr("expected all slices in one tree"));
  EXPECT_EQ(message(slices, 3, none, none), "");
}

TEST(DenseUpdateOnAGpu, IsRefused) {
  const KernelContext ctx{.backend = Backend::kCuda};
  const absl::Status status = dense_update(ctx, {.N = 0, .I = 1, .O = 1}, GradSlices::single(0), {}, {}, {}, {});
  EXPECT_THAT(std::string(status.message()), HasSubstr("works on the CPU"));
}

}  // namespace
}  // namespace lockstep
