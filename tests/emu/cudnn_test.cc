// SPDX-License-Identifier: Apache-2.0
// The cuDNN backend's dealings with cuDNN, on the emulated one: which engines it takes, when it runs our kernels
// instead, and what becomes of errors. That the numbers are right is the business of tests/kernels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "kernels/conv2d/conv2d.h"
#include "kernels/cuda_device.h"
#include "kernels/device_ops_cudnn.h"
#include "kernels/emu/cudnn_emulator.h"
#include "kernels/pool2d/pool2d.h"
#include "kernels/softmax_xent/softmax_xent.h"

namespace lockstep {
namespace {

using emu::CudnnFault;
using ::testing::_;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Plans are remembered: each test that breaks their building has a layer of its own.
Conv2dParams layer(int height) {
  return {.N = 5, .H = height, .W = 6, .C = 4, .K = 8, .R = 2, .S = 3, .padding = Padding::kValid};
}

class Cudnn : public ::testing::Test {
 protected:
  Cudnn() {
    context_.device = device_.get();
    context_.ops = &cudnn_device_ops();
    context_.stream = device_->create_stream().value();
    emu::take_cudnn_engines();
  }
  ~Cudnn() override {
    emu::break_cudnn(CudnnFault::kNone);
    device_->destroy(context_.stream);
  }

  KernelContext ctx() { return {Backend::kCudnn, nullptr, &context_}; }

  float* array(int64_t size) {
    arrays_.push_back(DeviceBuffer<float>::allocate(*device_, static_cast<size_t>(size)).value());
    EXPECT_TRUE(device_->fill_zero(arrays_.back().data(), arrays_.back().bytes(), context_.stream).ok());
    return arrays_.back().data();
  }
  void take_workspace(int64_t bytes) {
    workspace_ = DeviceBuffer<char>::allocate(*device_, static_cast<size_t>(bytes)).value();
    context_.workspace = workspace_.data();
    context_.workspace_bytes = workspace_.bytes();
  }

  // All three passes of the layer, on zeros; the first error.
  absl::Status run(const Conv2dParams& p, const GradSlices& slices) {
    take_workspace(cudnn_device_ops().conv2d_workspace_bytes(ctx(), p, nullptr, slices));
    return run_in_this_workspace(p, slices);
  }
  absl::Status run_in_this_workspace(const Conv2dParams& p, const GradSlices& slices) {
    float *const x = array(p.N * p.H * p.W * p.C), *const w = array(p.filter_size()), *const b = array(p.K);
    float *const y = array(p.N * p.OH() * p.OW() * p.K), *const grad_w = array(p.filter_size());
    LOCKSTEP_RETURN_IF_ERROR(conv2d_fwd(ctx(), p, x, w, b, y));
    LOCKSTEP_RETURN_IF_ERROR(conv2d_bwd_data(ctx(), p, w, nullptr, y, x));
    LOCKSTEP_RETURN_IF_ERROR(conv2d_bwd_filter(ctx(), p, slices, x, nullptr, y, {grad_w, p.filter_size()}, {b, p.K}));
    return device_->synchronize(context_.stream);
  }
  absl::Status run(const Conv2dParams& p) { return run(p, GradSlices::single(p.N)); }

  std::unique_ptr<Device> device_ = make_cuda_device(0).value();
  DeviceContext context_;
  DeviceBuffer<char> workspace_;
  std::vector<DeviceBuffer<float>> arrays_;
};

TEST_F(Cudnn, TakesTheFirstEngineThatIsDeterministicAndInFloat) {
  ASSERT_TRUE(run(layer(5)).ok());
  EXPECT_THAT(emu::take_cudnn_engines(),
              ElementsAre(emu::kEngineSplitFloat, emu::kEngineSplitFloat, emu::kEngineSplitFloat));
}

TEST_F(Cudnn, TakesTf32OnlyWhenAskedFor) {
  context_.tensor_cores = true;
  ASSERT_TRUE(run(layer(5)).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), ElementsAre(emu::kEngineTf32, emu::kEngineTf32, emu::kEngineTf32));
}

TEST_F(Cudnn, TakesWinogradOnlyWhereTheToleranceAllowsForIt) {
  const Conv2dParams many{.N = 1, .H = 12, .W = 12, .C = 16, .K = 16, .R = 3, .S = 3};
  ASSERT_TRUE(run(many).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), Each(emu::kEngineWinograd));
  const Conv2dParams few{.N = 1, .H = 12, .W = 12, .C = 4, .K = 16, .R = 3, .S = 3};
  ASSERT_TRUE(run(few).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), Each(Not(emu::kEngineWinograd)));
}

TEST_F(Cudnn, TakesTheNextEngineWhereTheBestHasNoPlan) {
  Conv2dParams one_filter = layer(5);
  one_filter.K = 1;
  ASSERT_TRUE(run(one_filter).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), ElementsAre(emu::kEngineFallback, emu::kEngineFallback, emu::kEngineFallback));
}

TEST_F(Cudnn, ComputesEachSliceThatHasExamplesByItself) {
  ASSERT_TRUE(run(layer(5), {0, {0, 2, 2, 4, 5}, {4}}).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), SizeIs(2 + 3));
}

TEST_F(Cudnn, UnevenPaddingRunsOnOurKernels) {
  Conv2dParams p = layer(5);
  p.padding = Padding::kSame;
  ASSERT_TRUE(run(p).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), IsEmpty());
}

TEST_F(Cudnn, ArraysThatAreNotAlignedRunOnOurKernels) {
  const Conv2dParams p{.N = 1, .H = 4, .W = 4, .C = 4, .K = 4, .R = 1, .S = 1};
  take_workspace(cudnn_device_ops().conv2d_workspace_bytes(ctx(), p, nullptr, GradSlices::single(p.N)));
  float *const x = array(64), *const w = array(16), *const b = array(4), *const y = array(65);
  ASSERT_TRUE(conv2d_fwd(ctx(), p, x, w, b, y + 1).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), IsEmpty());
  ASSERT_TRUE(conv2d_fwd(ctx(), p, x, w, b, y).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), SizeIs(1));
}

TEST_F(Cudnn, WithoutAnEngineOurKernelsRun) {
  emu::break_cudnn(CudnnFault::kNoEngine);
  ASSERT_TRUE(run(layer(6)).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), IsEmpty());
}

TEST_F(Cudnn, WithoutAPlanOurKernelsRun) {
  emu::break_cudnn(CudnnFault::kNoPlan);
  ASSERT_TRUE(run(layer(7)).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), IsEmpty());
}

Conv2dParams with_batch(Conv2dParams p, int64_t batch) {
  p.N = batch;
  return p;
}

// A rank with 50 examples must not take an engine that one with 100 cannot have.
TEST_F(Cudnn, EngineThatDoesNotDoTheTypicalBatchIsTakenForNone) {
  emu::break_cudnn(CudnnFault::kNoSplitFromBatch, 64);
  for (const int64_t batch : {1, 50, 100}) {
    ASSERT_TRUE(run(with_batch(layer(9), batch)).ok());
    // The third is the filter gradient, which chooses by the size of the slice.
    EXPECT_THAT(emu::take_cudnn_engines(), ElementsAre(emu::kEngineFallback, emu::kEngineFallback, _));
  }
}

TEST_F(Cudnn, EngineThatDoesTheTypicalBatchAloneIsAnErrorElsewhere) {
  emu::break_cudnn(CudnnFault::kNoSplitFromBatch, 65);
  ASSERT_TRUE(run(with_batch(layer(10), 50)).ok());
  EXPECT_THAT(emu::take_cudnn_engines(), Each(emu::kEngineSplitFloat));
  const absl::Status status = run(with_batch(layer(10), 100));
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_THAT(status.message(),
              HasSubstr("a plan for the forward of 64 x 10x6x4, filter 2x3x8, stride 1 (engine 5, knob 12 = "));
  EXPECT_THAT(status.message(), HasSubstr("none for the forward of 100 x 10x6x4, filter 2x3x8, stride 1: "));
  EXPECT_THAT(status.message(), HasSubstr("too many examples"));
  EXPECT_THAT(emu::take_cudnn_engines(), IsEmpty());
}

// Slices of two sizes, of which ranks hold different ones: all of them run on cuDNN, or none.
TEST_F(Cudnn, FilterGradientsRunOnOurKernelsWhateverSlicesARankHolds) {
  emu::break_cudnn(CudnnFault::kNoPlanFromBatch, 3);
  for (const GradSlices& slices : {GradSlices{0, {0, 2, 4}, {2}}, GradSlices{0, {0, 2, 5}, {2}}}) {
    ASSERT_TRUE(run(with_batch(layer(11), slices.examples()), slices).ok());
    EXPECT_THAT(emu::take_cudnn_engines(), IsEmpty());
  }
}

TEST_F(Cudnn, SliceWithoutAPlanIsAnError) {
  emu::break_cudnn(CudnnFault::kNoPlanFromBatch, 65);
  const Conv2dParams p = with_batch(layer(12), 65);
  take_workspace(cudnn_device_ops().conv2d_workspace_bytes(ctx(), p, nullptr, GradSlices::single(p.N)));
  float *const x = array(p.N * p.H * p.W * p.C), *const y = array(p.N * p.OH() * p.OW() * p.K);
  float *const grad_w = array(p.filter_size()), *const grad_b = array(p.K);
  const absl::Status status =
      conv2d_bwd_filter(ctx(), p, GradSlices::single(p.N), x, nullptr, y, {grad_w, p.filter_size()}, {grad_b, p.K});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_THAT(status.message(), HasSubstr("a plan for the filter gradient of 64 x 12x6x4"));
  EXPECT_THAT(status.message(), HasSubstr("none for the filter gradient of 65 x 12x6x4"));
}

TEST_F(Cudnn, WithoutMemoryForAPlanIsAnError) {
  emu::break_cudnn(CudnnFault::kNoMemory);
  const absl::Status status = run(layer(8));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(status.message(), HasSubstr("no memory for the plan"));
}

TEST_F(Cudnn, BrokenHandleIsAnErrorOfEachOperator) {
  emu::break_cudnn(CudnnFault::kNoHandle);
  const char* const expected = "cudnnSetStream";
  EXPECT_THAT(run(layer(5)).message(), HasSubstr(expected));
  float* const x = array(64);
  auto* const argmax = reinterpret_cast<uint8_t*>(array(16));
  EXPECT_THAT(pool2d_max_fwd(ctx(), {.N = 1, .H = 4, .W = 4, .C = 1}, x, x + 32, argmax).message(),
              HasSubstr(expected));
  EXPECT_THAT(softmax(ctx(), 2, 8, x, x + 32).message(), HasSubstr(expected));
}

TEST_F(Cudnn, FailedRunNamesTheTaskAndTheEngine) {
  emu::break_cudnn(CudnnFault::kRunFails);
  const absl::Status status = run(layer(5));
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("forward of 5 x 5x6x4, filter 2x3x8, stride 1 by engine 5, knob 12 = "));
  EXPECT_THAT(status.message(), HasSubstr("CUDNN_STATUS_EXECUTION_FAILED (the launch failed)"));
}

TEST_F(Cudnn, TooSmallAWorkspaceIsAnError) {
  const Conv2dParams p = layer(5);
  const int64_t bytes = cudnn_device_ops().conv2d_workspace_bytes(ctx(), p, nullptr, GradSlices::single(p.N));
  take_workspace(bytes / 8);
  EXPECT_THAT(run_in_this_workspace(p, GradSlices::single(p.N)).message(), HasSubstr("conv2d_workspace_bytes"));
  EXPECT_THAT(softmax_xent(ctx(), {.N = 1000, .C = 1000}, array(1000000), reinterpret_cast<int32_t*>(array(1000)),
                           array(1000), nullptr, nullptr)
                  .message(),
              HasSubstr("softmax_xent_workspace_bytes"));
}

TEST_F(Cudnn, PoolThatIsNotSupportedRunsOnOurKernel) {
  float *const x = array(16), *const y = array(4);
  auto* const argmax = reinterpret_cast<uint8_t*>(array(1));
  emu::break_cudnn(CudnnFault::kNoPooling);
  ASSERT_TRUE(pool2d_max_fwd(ctx(), {.N = 1, .H = 4, .W = 4, .C = 1}, x, y, argmax).ok());
  EXPECT_TRUE(device_->synchronize(context_.stream).ok());
}

// Finite logits may lie further apart than a float can say.
TEST_F(Cudnn, ProbabilityOfZeroIsNoReasonForNan) {
  const float logits[] = {3e38f, -3e38f};
  float* const x = array(2);
  ASSERT_TRUE(device_->copy(x, logits, sizeof logits, context_.stream).ok());
  ASSERT_TRUE(softmax(ctx(), 1, 2, x, x).ok());
  float probabilities[2] = {};
  ASSERT_TRUE(device_->copy(probabilities, x, sizeof probabilities, context_.stream).ok());
  ASSERT_TRUE(device_->synchronize(context_.stream).ok());
  EXPECT_THAT(probabilities, ElementsAre(1, 0));
}

}  // namespace
}  // namespace lockstep
