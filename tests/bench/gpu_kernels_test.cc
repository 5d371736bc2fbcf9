// SPDX-License-Identifier: Apache-2.0
// The benchmarks of GPU kernels on the emulated GPU: right results get rows without times, wrong ones rows that failed.
#include "bench/gpu_kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "bench/gpu_peak.h"
#include "kernels/dropout/dropout.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class GpuBench : public ::testing::Test {
 protected:
  std::vector<BenchRow> measure(const TimedKernel& kernel) {
    return measure_gpu_kernel(*session_, pool_, {}, kernel, 1).value();
  }

  std::unique_ptr<GpuSession> session_ = GpuSession::open().value();
  ThreadPool pool_{2};
};

// Copies its input; on a GPU, with one element changed.
TimedKernel copying_kernel(float wrong_element) {
  const auto run = [wrong_element](const KernelContext& ctx, const Operands& o) -> absl::Status {
    const DropoutParams nothing_dropped{.N = 1, .units = 8, .rate = 0};
    LOCKSTEP_RETURN_IF_ERROR(dropout_fwd(ctx, nothing_dropped, o.floats[0], o.out));
    if (ctx.device == nullptr || wrong_element == 0) return absl::OkStatus();
    return ctx.device->device->copy(o.out + 5, &wrong_element, sizeof wrong_element, ctx.device->stream);
  };
  return {.op = "copy", .shape = "8", .N = 1, .in_cudnn = true, .make = [run](int64_t) {
            KernelWork work;
            work.floats = {{1, 2, 3, 4, 5, 6, 7, 8}};
            work.out_size = 8;
            work.run = run;
            return work;
          }};
}

TEST_F(GpuBench, RightResultsHaveRowsWithoutTimes) {
  const std::vector<BenchRow> rows = measure(copying_kernel(0));
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_EQ(rows[0].backend, "cuda fp32");
  EXPECT_EQ(rows[1].backend, "cudnn fp32");
  EXPECT_THAT(rows, Each(AllOf(Field(&BenchRow::failure, ""), Field(&BenchRow::median_s, 0),
                               Field(&BenchRow::ratio, std::nullopt), Field(&BenchRow::gflops, std::nullopt))));
  EXPECT_THAT(rows[0].cpu, HasSubstr("emulated"));
}

TEST_F(GpuBench, WrongResultIsAFailedRow) {
  for (const float wrong : {7.0f, std::numeric_limits<float>::quiet_NaN()}) {
    const std::vector<BenchRow> rows = measure(copying_kernel(wrong));
    EXPECT_THAT(rows, Each(Field(&BenchRow::failure, HasSubstr("element 5: expected 6, got"))));
  }
}

// The tiny kernel of this name at another size; on a GPU, `spoil` comes behind it.
TimedKernel spoiled(const std::string& op, int64_t N, std::function<absl::Status(Device&, const Operands&)> spoil) {
  for (TimedKernel& kernel : tiny_kernels()) {
    if (kernel.op != op) continue;
    kernel.N = N;
    kernel.make = [make = kernel.make, spoil](int64_t size) {
      KernelWork work = make(size);
      work.run = [run = work.run, spoil](const KernelContext& ctx, const Operands& o) {
        const absl::Status status = run(ctx, o);
        if (!status.ok() || ctx.device == nullptr) return status;
        return spoil(*ctx.device->device, o);
      };
      if (!work.run_by_library) return work;
      work.run_by_library = [run = work.run_by_library, spoil](const CudaLibrary& library, const KernelContext& ctx,
                                                               const Operands& o) {
        const absl::Status status = run(library, ctx, o);
        return status.ok() ? spoil(*ctx.device->device, o) : status;
      };
      return work;
    };
    return kernel;
  }
  ADD_FAILURE() << "no kernel " << op;
  return {};
}

// Every result has a scale of its own: an error that is small beside another array's values is one all the same.
TEST_F(GpuBench, EachResultIsCheckedAgainstItsOwnLargest) {
  constexpr int64_t N = 1000;
  struct Planted {
    std::string op, result;
    std::function<float*(const Operands&)> at;
    float value;
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const auto in_out = [](int64_t at) { return [at](const Operands& o) { return o.out + at; }; };
  const auto in_floats = [](size_t array) { return [array](const Operands& o) { return o.floats[array] + 3; }; };
  const std::vector<Planted> all = {
      {"softmax_xent", "gradients", in_out(N + 5), 0},  // about 1e-4, beside losses of about 2
      {"softmax_xent", "gradients", in_out(N + 5), kNan},
      {"softmax_xent", "losses", in_out(1), kNan},
      {"adam_update", "w", in_out(7), 1e-6f},
      {"adam_update", "m", in_floats(1), 3},
      {"adam_update", "v", in_floats(2), kNan},
      {"pool2d_max_bwd", "output", in_out(50), 0.03f},
      {"dropout_bwd", "output", in_out(30), kNan},
      {"softmax", "output", in_out(4), 0},
      {"scale_images", "output", in_out(9), 0.5f},
      {"tree_sum", "output", in_out(999), 0.02f},
  };
  for (const Planted& planted : all) {
    const auto rows = measure(spoiled(planted.op, N, [&](Device& device, const Operands& o) {
      return device.copy(planted.at(o), &planted.value, sizeof planted.value, session_->stream());
    }));
    EXPECT_THAT(rows, Each(Field(&BenchRow::failure, HasSubstr(planted.result + ", element")))) << planted.value;
  }
}

TEST_F(GpuBench, WrongArgmaxIsAFailedRow) {
  for (const std::string op : {"pool2d_max_fwd", "conv2d_pool_fwd"}) {
    for (const uint8_t value : {0, 1, 2, 3, 4}) {
      const auto rows = measure(spoiled(op, 3, [&](Device& device, const Operands& o) {
        const std::vector<uint8_t> all(30, value);  // not every maximum is at one position
        return device.copy(o.bytes, all.data(), all.size(), session_->stream());
      }));
      EXPECT_THAT(rows, Each(Field(&BenchRow::failure, HasSubstr("arg-max")))) << op << " " << int{value};
    }
  }
}

TEST_F(GpuBench, ErrorIsAFailedRow) {
  TimedKernel kernel = copying_kernel(0);
  kernel.make = [make = kernel.make](int64_t N) {
    KernelWork work = make(N);
    work.run = [run = work.run](const KernelContext& ctx, const Operands& o) {
      return ctx.backend == Backend::kCudnn ? absl::InternalError("cuDNN is ill") : run(ctx, o);
    };
    return work;
  };
  const std::vector<BenchRow> rows = measure(kernel);
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_EQ(rows[0].failure, "");
  EXPECT_EQ(rows[1].failure, "cuDNN is ill");
}

TEST_F(GpuBench, CeilingsComputeWhatTheyShould) {
  const absl::StatusOr<GpuPeaks> peaks = measure_gpu_peaks(*session_);
  ASSERT_TRUE(peaks.ok()) << peaks.status();
  EXPECT_THAT(peaks->rows, SizeIs(4));
  EXPECT_THAT(peaks->rows, Each(AllOf(Field(&BenchRow::failure, ""), Field(&BenchRow::gflops, std::nullopt))));
  EXPECT_FALSE(peaks->fp32 || peaks->tf32 || peaks->bf16 || peaks->copy);
}

TEST_F(GpuBench, WrongCeilingIsAFailedRow) {
  // A library whose device does other products than it is asked for.
  const auto cheat = [](const DeviceContext& device, const CeilingWork& work, const float* from, float* to) {
    CeilingWork other = work;
    other.rounds = work.kind == CeilingKind::kCopy ? work.rounds - 1 : work.rounds + 1;
    return cuda::run_ceiling(device, other, from, to);
  };
  CudaLibrary library = session_->library();
  library.run_ceiling = cheat;
  const auto session = GpuSession::open(library).value();
  const absl::StatusOr<GpuPeaks> peaks = measure_gpu_peaks(*session);
  ASSERT_TRUE(peaks.ok()) << peaks.status();
  EXPECT_THAT(peaks->rows, Each(Field(&BenchRow::failure, HasSubstr("element "))));
}

TEST(GpuSession, RunsTakeAboutAMillisecond) {
  for (const double seconds : {1.3e-6, 3e-6, 17e-6, 70e-6, 240e-6, 0.9e-3}) {
    const int calls = calls_of_a_run(seconds);
    EXPECT_GE(calls * seconds, 1e-3) << seconds;
    EXPECT_LT((calls - 1) * seconds, 1e-3) << seconds;
  }
  EXPECT_EQ(calls_of_a_run(2), 1);
  EXPECT_EQ(calls_of_a_run(1e-7), 1000);
  EXPECT_EQ(calls_of_a_run(0), 1000);
}

TEST(GpuPeaks, PercentIsOfTheCeilingThatBinds) {
  GpuPeaks peaks;
  EXPECT_FALSE(peaks.percent("fp32", 1, 1, 1));
  peaks.fp32 = 100;
  peaks.tf32 = 400;
  peaks.copy = 10;
  EXPECT_EQ(peaks.percent("fp32", 100, 5, 2), 50);
  EXPECT_EQ(peaks.percent("tf32", 100, 5, 2), 25);
  EXPECT_EQ(peaks.percent("bf16", 100, 5, 2), std::nullopt);
  EXPECT_EQ(peaks.percent("fp32", 100, 5, 0), std::nullopt);
}

}  // namespace
}  // namespace lockstep
