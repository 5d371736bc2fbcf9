// SPDX-License-Identifier: Apache-2.0
// What the real cuDNN, asked about a GPU that is only described to it, makes of our convolutions: needs the library, no
// GPU and no driver. Nothing can be run, but graphs, heuristics, engines and plans are cuDNN's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/conv2d/conv2d_algorithm.h"
#include "kernels/conv2d/conv2d_cudnn_engine.h"
#include "tests/support/kernel_case.h"

namespace lockstep::cudnn {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// An H100 SXM as cuDNN describes one.
constexpr std::string_view kH100 = R"({
  "deviceName": "NVIDIA H100 80GB HBM3", "deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0,
  "pciDeviceId": 591409374, "isTccDriver": 0, "supportCoopLaunch": 1, "multiProcessorCount": 132, "warpSize": 32,
  "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "maxThreadsPerBlock": 1024,
  "maxThreadsPerSM": 2048, "maxCtasPerSM": 32, "regsPerBlock": 65536, "maxRegistersPerSM": 65536,
  "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024,
  "totalGlobalMem": 85000000000, "l2CacheSize": 52428800, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000})";

constexpr ConvPass kPasses[] = {ConvPass::kForward, ConvPass::kInputGrad, ConvPass::kFilterGrad};

class OfflineCudnn : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto plan = conv_plan_for(
        kH100, conv_task(ConvPass::kForward, {.N = 1, .H = 1, .W = 1, .C = 1, .K = 1, .R = 1, .S = 1}), {});
    if (absl::IsFailedPrecondition(plan.status())) GTEST_SKIP() << std::string(plan.status().message());
  }
};

// Every shape that the operators are tested with, and those of the benchmarks.
std::vector<Conv2dParams> layers() {
  std::vector<Conv2dParams> layers;
  for (const Conv2dCase& c : conv2d_cases()) {
    if (c.p.N > 0) layers.push_back(c.p);
  }
  for (const int64_t batch : {1, 100, 8192}) {
    layers.push_back({.N = batch, .H = 28, .W = 28, .C = 1, .K = 32, .R = 5, .S = 5});
    layers.push_back({.N = batch, .H = 14, .W = 14, .C = 32, .K = 64, .R = 5, .S = 5});
  }
  layers.push_back({.N = 16, .H = 56, .W = 56, .C = 128, .K = 128, .R = 3, .S = 3});
  return layers;
}

TEST_F(OfflineCudnn, EveryLayerHasAPlanForEachPassInEachArithmetic) {
  for (const Conv2dParams& p : layers()) {
    for (const bool tensor_cores : {false, true}) {
      for (const ConvPass pass : kPasses) {
        const auto plan = conv_plan_for(kH100, conv_task(pass, p), {tensor_cores, conv_way(p) != ConvWay::kDirect});
        ASSERT_TRUE(plan.ok()) << shape_of(Conv2dCase{"", p, {}}) << ", pass " << static_cast<int>(pass) << ": "
                               << plan.status();
        EXPECT_THAT(plan->engine, StartsWith("engine "));
        EXPECT_GE(plan->workspace_bytes, 0);
      }
    }
  }
}

TEST_F(OfflineCudnn, EngineOfForwardAndInputGradientIsTheSameForEveryBatch) {
  for (const ConvPass pass : {ConvPass::kForward, ConvPass::kInputGrad}) {
    for (const bool tensor_cores : {false, true}) {
      Conv2dParams p{.N = 1, .H = 14, .W = 14, .C = 32, .K = 64, .R = 5, .S = 5};
      const auto expected = conv_plan_for(kH100, conv_task(pass, p), {.tensor_cores = tensor_cores});
      ASSERT_TRUE(expected.ok()) << expected.status();
      for (const int64_t batch : {2, 13, 64, 100, 1000, 8192}) {
        p.N = batch;
        const auto plan = conv_plan_for(kH100, conv_task(pass, p), {.tensor_cores = tensor_cores});
        ASSERT_TRUE(plan.ok()) << plan.status();
        EXPECT_EQ(plan->engine, expected->engine) << "batch " << batch;
      }
    }
  }
}

TEST_F(OfflineCudnn, TensorCoresAreUsedOnlyWhenAskedFor) {
  const ConvTask task = conv_task(ConvPass::kForward, {.N = 16, .H = 56, .W = 56, .C = 128, .K = 128, .R = 3, .S = 3});
  const auto in_float = conv_plan_for(kH100, task, {}), tf32 = conv_plan_for(kH100, task, {.tensor_cores = true});
  ASSERT_TRUE(in_float.ok() && tf32.ok());
  EXPECT_NE(in_float->engine, tf32->engine);
}

TEST_F(OfflineCudnn, SizesThatDoNotGoTogetherAreCudnnsError) {
  ConvTask task = conv_task(ConvPass::kForward, {.N = 1, .H = 8, .W = 8, .C = 4, .K = 4, .R = 3, .S = 3});
  task.y.dims[2] = 9;
  const auto plan = conv_plan_for(kH100, task, {});
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(plan.status().message(), HasSubstr("CUDNN_STATUS_BAD_PARAM"));
}

}  // namespace
}  // namespace lockstep::cudnn
