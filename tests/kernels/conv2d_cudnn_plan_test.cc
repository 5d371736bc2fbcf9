// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/conv2d_cudnn_plan.h"

#include <gtest/gtest.h>

#include "tests/support/kernel_case.h"

namespace lockstep::cudnn {
namespace {

using Four = std::array<int64_t, 4>;
using Two = std::array<int64_t, 2>;

TEST(ConvTask, DescribesOurLayoutsInCudnnsOrderOfSizes) {
  const Conv2dParams p{
      .N = 2, .H = 7, .W = 5, .C = 3, .K = 11, .R = 3, .S = 2, .stride = 2, .padding = Padding::kValid};
  const ConvTask task = conv_task(ConvPass::kForward, p);
  EXPECT_EQ(task.x.dims, (Four{2, 3, 7, 5}));
  EXPECT_EQ(task.x.strides, (Four{7 * 5 * 3, 1, 5 * 3, 3}));
  EXPECT_EQ(task.w.dims, (Four{11, 3, 3, 2}));
  EXPECT_EQ(task.w.strides, (Four{3 * 2 * 3, 1, 2 * 3, 3}));
  EXPECT_EQ(task.y.dims, (Four{2, 11, 3, 2}));
  EXPECT_EQ(task.y.strides, (Four{3 * 2 * 11, 1, 2 * 11, 11}));
  EXPECT_EQ(task.stride, (Two{2, 2}));
  EXPECT_EQ(task.pad_before, (Two{0, 0}));
  EXPECT_EQ(task.pad_after, (Two{0, 0}));
}

// What cuDNN computes the output's sizes from must give ours, for every case that the operators are tested with.
TEST(ConvTask, SizesAgreeWithCudnnsFormula) {
  for (const Conv2dCase& c : conv2d_cases()) {
    const ConvTask task = conv_task(ConvPass::kForward, c.p);
    for (size_t i = 0; i < 2; ++i) {
      const int64_t padded = task.x.dims[2 + i] + task.pad_before[i] + task.pad_after[i];
      EXPECT_EQ(task.y.dims[2 + i], (padded - task.w.dims[2 + i]) / task.stride[i] + 1) << c.name;
    }
  }
}

TEST(ConvTask, PutsTheOddZeroOfSamePaddingBehind) {
  const ConvTask task = conv_task(ConvPass::kForward, {.N = 1, .H = 6, .W = 5, .C = 1, .K = 1, .R = 4, .S = 3});
  EXPECT_EQ(task.pad_before, (Two{1, 1}));
  EXPECT_EQ(task.pad_after, (Two{2, 1}));
}

TEST(ConvTask, IdsAreUnique) {
  const ConvTask task = conv_task(ConvPass::kForward, {.N = 1, .H = 1, .W = 1, .C = 1, .K = 1, .R = 1, .S = 1});
  EXPECT_NE(task.x.id, task.w.id);
  EXPECT_NE(task.x.id, task.y.id);
  EXPECT_NE(task.w.id, task.y.id);
}

TEST(ConvTask, AlignmentIsThatOfEveryImageAndOfEverySlicesFilters) {
  // Images of 16 floats each, filters of 9 * 4.
  const Conv2dParams even{.N = 2, .H = 2, .W = 2, .C = 4, .K = 4, .R = 3, .S = 3};
  EXPECT_EQ(conv_task(ConvPass::kForward, even).x.alignment, 16);
  EXPECT_EQ(conv_task(ConvPass::kFilterGrad, even).w.alignment, 16);
  // The second image begins 25 * 3 floats behind the first.
  const Conv2dParams odd_input{.N = 2, .H = 5, .W = 5, .C = 3, .K = 4, .R = 3, .S = 3};
  EXPECT_EQ(conv_task(ConvPass::kForward, odd_input).x.alignment, 4);
  EXPECT_EQ(conv_task(ConvPass::kForward, odd_input).y.alignment, 4);
  EXPECT_EQ(conv_task(ConvPass::kForward, odd_input).w.alignment, 16);
  // 3 * 3 * 1 * 5 floats from the gradient of one slice to the next.
  const Conv2dParams odd_filter{.N = 2, .H = 4, .W = 4, .C = 1, .K = 5, .R = 3, .S = 3};
  EXPECT_EQ(conv_task(ConvPass::kFilterGrad, odd_filter).w.alignment, 4);
  EXPECT_EQ(conv_task(ConvPass::kForward, odd_filter).w.alignment, 16);
}

TEST(ConvTask, OfAnyBatchIsTheSameAtTheTypicalOne) {
  Conv2dParams p{.N = 3, .H = 8, .W = 8, .C = 4, .K = 4, .R = 3, .S = 3};
  Conv2dParams q = p;
  q.N = 100;
  for (const ConvPass pass : {ConvPass::kForward, ConvPass::kInputGrad, ConvPass::kFilterGrad}) {
    EXPECT_NE(conv_task(pass, p), conv_task(pass, q));
    EXPECT_EQ(at_typical_batch(conv_task(pass, p)), at_typical_batch(conv_task(pass, q)));
    EXPECT_EQ(at_typical_batch(conv_task(pass, p)).x.dims[0], kTypicalExamples);
    EXPECT_EQ(at_typical_batch(conv_task(pass, p)).y.dims[0], kTypicalExamples);
  }
  EXPECT_TRUE(engine_by_own_batch(ConvPass::kFilterGrad));
  EXPECT_FALSE(engine_by_own_batch(ConvPass::kForward) || engine_by_own_batch(ConvPass::kInputGrad));
}

TEST(ConvTask, PassesOfOneLayerAreDifferentTasks) {
  const Conv2dParams p{.N = 3, .H = 8, .W = 8, .C = 4, .K = 4, .R = 3, .S = 3};
  EXPECT_NE(conv_task(ConvPass::kForward, p), conv_task(ConvPass::kInputGrad, p));
}

TEST(EngineRules, RefuseWhatIsNotDeterministicOrNotAsPreciseAsAskedFor) {
  const EngineRules all{.tensor_cores = true, .winograd = true}, none{};
  EXPECT_TRUE(may_run({}, none));
  EXPECT_TRUE(may_run({}, all));
  for (const EngineRules& rules : {all, none}) {
    EXPECT_FALSE(may_run({.nondeterministic = true}, rules));
    EXPECT_FALSE(may_run({.down_convert = true}, rules));
    EXPECT_FALSE(may_run({.tensor_core = true, .down_convert = true}, rules));
    EXPECT_FALSE(may_run({.reduced_reduction = true}, rules));
    EXPECT_FALSE(may_run({.fft = true}, rules));
  }
  EXPECT_TRUE(may_run({.tensor_core = true}, {.tensor_cores = true}));
  EXPECT_FALSE(may_run({.tensor_core = true}, {.winograd = true}));
  EXPECT_TRUE(may_run({.winograd = true}, {.winograd = true}));
  EXPECT_FALSE(may_run({.winograd = true}, {.tensor_cores = true}));
}

TEST(EngineRules, SettingsThatTheEngineChoosesItselfAreNotSettled) {
  EXPECT_TRUE(is_settled(0));
  EXPECT_TRUE(is_settled(3));
  EXPECT_FALSE(is_settled(-1));
}

TEST(ScratchSpace, CountsWhatItWouldHandOut) {
  alignas(256) static char memory[4096];
  ScratchSpace counted, real(memory);
  for (ScratchSpace* const space : {&counted, &real}) {
    space->take<float>(3);
    space->take<char>(0);
    space->take<char>(257);
  }
  EXPECT_EQ(counted.used(), 256 + 512);
  EXPECT_EQ(real.used(), counted.used());
  EXPECT_EQ(reinterpret_cast<char*>(real.take<float>(1)), memory + 768);
  EXPECT_EQ(counted.take<float>(1), nullptr);
}

}  // namespace
}  // namespace lockstep::cudnn
