// SPDX-License-Identifier: Apache-2.0
// Each operator at the shapes of the reference network (batch 100) and at a large one, on all cores. Operations are
// counted as direct computation; bytes are what must move at least: every operand once.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <functional>
#include <memory>

#include "bench/kernel_check.h"
#include "bench/row_reporter.h"
#include "core/base/host_info.h"
#include "core/base/thread_pool.h"
#include "kernels/adam/adam.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/dense/dense.h"
#include "kernels/dropout/dropout.h"
#include "kernels/pool2d/pool2d.h"
#include "kernels/softmax_xent/softmax_xent.h"

namespace lockstep {
namespace {

ThreadPool& pool() {
  static ThreadPool all_cores(available_cores());
  return all_cores;
}

using Kernel = std::function<absl::Status(const KernelContext&, float* out)>;

// One operator at one size, with its inputs.
struct Work {
  Kernel kernel;
  int64_t out_size = 0;  // floats
  double flops = 0, bytes = 0;
};
// Builds the work for N examples: a few for the comparison with the slow reference, all for the timing.
using MakeWork = std::function<Work(int64_t N)>;

// What is timed, with its threads and at its size, must give the bits of one thread: the reference would take minutes.
// Each run has inputs of its own, since some kernels change them.
absl::Status check_pool(const Work& alone, const Work& pooled, const KernelContext& ctx) {
  std::vector<float> expected(static_cast<size_t>(alone.out_size)), got(expected.size());
  LOCKSTEP_RETURN_IF_ERROR(alone.kernel({.backend = ctx.backend}, expected.data()));
  LOCKSTEP_RETURN_IF_ERROR(pooled.kernel(ctx, got.data()));
  return check_same_bits(expected, got);
}

void time_work(benchmark::State& state, const MakeWork& make, int64_t N, int64_t checked) {
  const Work sample = make(checked);
  if (const absl::Status status = check_against_reference(sample.out_size, sample.kernel); !status.ok()) {
    state.SkipWithError(std::string(status.message()).c_str());
    return;
  }
  const KernelContext ctx{.backend = Backend::kSimd, .pool = &pool()};
  if (const absl::Status status = check_pool(make(N), make(N), ctx); !status.ok()) {
    state.SkipWithError(std::string(status.message()).c_str());
    return;
  }
  const Work work = make(N);
  std::vector<float> out(static_cast<size_t>(work.out_size));
  for (auto _ : state) {
    if (!work.kernel(ctx, out.data()).ok()) state.SkipWithError("the kernel returned an error");
    benchmark::ClobberMemory();
  }
  state.counters["flops"] = work.flops;
  state.counters["bytes"] = work.bytes;
  state.counters["threads"] = pool().threads();
}

void add(const std::string& op, const std::string& shape, int64_t N, MakeWork make, int64_t checked = 2) {
  benchmark::RegisterBenchmark(fmt::format("{}/{}", op, shape).c_str(), [make = std::move(make), N,
                                                                         checked](benchmark::State& state) {
    time_work(state, make, N, checked);
  })->UseRealTime();
}

// Inputs that outlive the closure that uses them.
std::shared_ptr<const std::vector<float>> input(int64_t size, uint64_t seed) {
  return std::make_shared<const std::vector<float>>(bench_input(size, seed));
}

double float_bytes(int64_t floats) { return 4.0 * static_cast<double>(floats); }

void add_conv_bwd_data(const Conv2dParams& shape, const std::string& name) {
  add("conv2d_bwd_data", name, shape.N, [=](int64_t N) {
    Conv2dParams p = shape;
    p.N = N;
    const int64_t in_size = N * p.H * p.W * p.C, out_size = N * p.OH() * p.OW() * p.K;
    const auto w = input(p.filter_size(), 2), y = input(out_size, 4), grad_y = input(out_size, 5);
    const Kernel kernel = [=](const KernelContext& ctx, float* grad_x) {
      return conv2d_bwd_data(ctx, p, w->data(), y->data(), grad_y->data(), grad_x);
    };
    return Work{kernel, in_size, p.flops(), float_bytes(in_size + p.filter_size() + 2 * out_size)};
  });
}

void add_conv(const Conv2dParams& shape) {
  const auto sized = [shape](int64_t N) {
    Conv2dParams p = shape;
    p.N = N;
    return p;
  };
  const auto in_size = [](const Conv2dParams& p) { return p.N * p.H * p.W * p.C; };
  const auto out_size = [](const Conv2dParams& p) { return p.N * p.OH() * p.OW() * p.K; };
  const std::string name =
      fmt::format("{}x{}x{}x{} {}x{}x{}", shape.N, shape.H, shape.W, shape.C, shape.R, shape.S, shape.K);
  add("conv2d_fwd", name, shape.N, [=](int64_t N) {
    const Conv2dParams p = sized(N);
    const auto x = input(in_size(p), 1), w = input(p.filter_size(), 2), b = input(p.K, 3);
    const Kernel kernel = [=](const KernelContext& ctx, float* y) {
      return conv2d_fwd(ctx, p, x->data(), w->data(), b->data(), y);
    };
    return Work{kernel, out_size(p), p.flops(), float_bytes(in_size(p) + p.filter_size() + out_size(p))};
  });
  if (shape.C > 1) add_conv_bwd_data(shape, name);  // nobody needs the gradient of an image
  add("conv2d_bwd_filter", name, shape.N, [=](int64_t N) {
    const Conv2dParams p = sized(N);
    const auto x = input(in_size(p), 1), y = input(out_size(p), 4), grad_y = input(out_size(p), 5);
    const Kernel kernel = [=](const KernelContext& ctx, float* grad_w) {
      const GradOutput to_w{grad_w, p.filter_size() + p.K}, to_b{grad_w + p.filter_size(), p.filter_size() + p.K};
      return conv2d_bwd_filter(ctx, p, GradSlices::for_rank(0, 1, 8, p.N), x->data(), y->data(), grad_y->data(), to_w,
                               to_b);
    };
    return Work{kernel, p.filter_size() + p.K, p.flops(), float_bytes(in_size(p) + p.filter_size() + 2 * out_size(p))};
  });
}

// Convolution with the 2 x 2 max-pool behind it, as the network runs it.
void add_conv_pool(const Conv2dParams& shape) {
  const std::string name =
      fmt::format("{}x{}x{}x{} {}x{}x{} pool 2", shape.N, shape.H, shape.W, shape.C, shape.R, shape.S, shape.K);
  add("conv2d_pool_fwd", name, shape.N, [shape](int64_t N) {
    Conv2dParams p = shape;
    p.N = N;
    const Pool2dParams pooling{.N = N, .H = p.OH(), .W = p.OW(), .C = p.K};
    const int64_t in_size = N * p.H * p.W * p.C, out_size = N * pooling.OH() * pooling.OW() * p.K;
    const auto x = input(in_size, 1), w = input(p.filter_size(), 2), b = input(p.K, 3);
    const auto argmax = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(out_size));
    const Kernel kernel = [=](const KernelContext& ctx, float* y) {
      return conv2d_pool_fwd(ctx, p, pooling, x->data(), w->data(), b->data(), y, argmax->data());
    };
    return Work{kernel, out_size, p.flops(),
                float_bytes(in_size + p.filter_size() + out_size) + static_cast<double>(out_size)};
  });
}

void add_dense(const DenseParams& shape) {
  const std::string name = fmt::format("{} {}x{}", shape.N, shape.I, shape.O);
  const auto sized = [shape](int64_t N) { return DenseParams{.N = N, .I = shape.I, .O = shape.O, .relu = shape.relu}; };
  const auto weights = [](const DenseParams& p) { return int64_t{p.I} * p.O; };
  const auto moved = [=](const DenseParams& p) { return float_bytes(weights(p) + p.N * (p.I + p.O)); };
  add("dense_fwd", name, shape.N, [=](int64_t N) {
    const DenseParams p = sized(N);
    const auto x = input(N * p.I, 1), w = input(weights(p), 2), b = input(p.O, 3);
    const Kernel kernel = [=](const KernelContext& ctx, float* y) {
      return dense_fwd(ctx, p, x->data(), w->data(), b->data(), y);
    };
    return Work{kernel, N * p.O, p.flops(), moved(p)};
  });
  add("dense_bwd_data", name, shape.N, [=](int64_t N) {
    const DenseParams p = sized(N);
    const auto w = input(weights(p), 2), y = input(N * p.O, 4), grad_y = input(N * p.O, 5);
    const Kernel kernel = [=](const KernelContext& ctx, float* grad_x) {
      return dense_bwd_data(ctx, p, w->data(), y->data(), grad_y->data(), grad_x);
    };
    return Work{kernel, N * p.I, p.flops(), moved(p) + float_bytes(N * p.O)};
  });
  add("dense_bwd_filter", name, shape.N, [=](int64_t N) {
    const DenseParams p = sized(N);
    const auto x = input(N * p.I, 1), y = input(N * p.O, 4), grad_y = input(N * p.O, 5);
    const int64_t size = weights(p) + p.O;
    const Kernel kernel = [=](const KernelContext& ctx, float* grad_w) {
      return dense_bwd_filter(ctx, p, GradSlices::for_rank(0, 1, 8, p.N), x->data(), y->data(), grad_y->data(),
                              {grad_w, size}, {grad_w + weights(p), size});
    };
    return Work{kernel, size, p.flops(), moved(p) + float_bytes(N * p.O)};
  });
}

void add_pool(const Pool2dParams& shape) {
  add("pool2d_max_fwd", fmt::format("{}x{}x{}x{} window {}", shape.N, shape.H, shape.W, shape.C, shape.window), shape.N,
      [shape](int64_t N) {
        Pool2dParams p = shape;
        p.N = N;
        const int64_t in_size = N * p.H * p.W * p.C, out_size = N * p.OH() * p.OW() * p.C;
        const auto x = input(in_size, 1);
        const auto argmax = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(out_size));
        const Kernel kernel = [=](const KernelContext& ctx, float* y) {
          return pool2d_max_fwd(ctx, p, x->data(), y, argmax->data());
        };
        return Work{kernel, out_size, 0, float_bytes(in_size + out_size) + static_cast<double>(out_size)};
      });
}

void add_dropout(int64_t batch, int64_t units) {
  add("dropout_fwd", fmt::format("{} {}", batch, units), batch, [units](int64_t N) {
    const DropoutParams p{.N = N, .units = units, .rate = 0.4f, .seed = 1};
    const auto x = input(N * units, 1);
    const Kernel kernel = [=](const KernelContext& ctx, float* y) { return dropout_fwd(ctx, p, x->data(), y); };
    return Work{kernel, N * units, 0, 2 * float_bytes(N * units)};
  });
}

void add_softmax(int64_t batch, int classes) {
  add("softmax_xent", fmt::format("{} {}", batch, classes), batch, [classes](int64_t N) {
    const SoftmaxXentParams p{.N = N, .C = classes, .grad_scale = 1.0f / static_cast<float>(N)};
    const auto logits = input(N * classes, 1);
    const auto labels = std::make_shared<const std::vector<int32_t>>(static_cast<size_t>(N), classes / 2);
    const Kernel kernel = [=](const KernelContext& ctx, float* out) {  // losses, then gradients
      return softmax_xent(ctx, p, logits->data(), labels->data(), out, nullptr, out + N);
    };
    return Work{kernel, N * (classes + 1), 0, float_bytes(N * (2 * classes + 1))};
  });
}

// Every iteration moves the weights on, so the moments are those of a run, not zeros.
void add_adam(int64_t count) {
  constexpr int64_t kChecked = 1000;
  add(
      "adam_update", fmt::format("{}", count), count,
      [](int64_t size) {
        const auto gradient = input(size, 1);
        const auto moments = std::make_shared<std::vector<float>>(bench_input(2 * size, 2));
        for (float& value : *moments) value = value * value;  // second moments are squares
        const auto start = std::make_shared<const std::vector<float>>(*moments);
        const Kernel kernel = [=](const KernelContext& ctx, float* w) {
          if (size == kChecked) *moments = *start;  // the comparison runs it twice
          const GradTerm term{gradient->data(), 8};
          return adam_update(ctx, {}, size, {&term, 1}, moments->data(), moments->data() + size, w);
        };
        return Work{kernel, size, 0, 7 * float_bytes(size)};  // reads g, m, v, w; writes m, v, w
      },
      kChecked);
}

void add_all() {
  const Conv2dParams first{.N = 100, .H = 28, .W = 28, .C = 1, .K = 32, .R = 5, .S = 5, .relu = true};
  const Conv2dParams second{.N = 100, .H = 14, .W = 14, .C = 32, .K = 64, .R = 5, .S = 5, .relu = true};
  const Conv2dParams large{.N = 16, .H = 56, .W = 56, .C = 128, .K = 128, .R = 3, .S = 3, .relu = true};
  for (const Conv2dParams& p : {first, second, large}) {
    add_conv(p);
    add_conv_pool(p);
  }
  add_pool({.N = 100, .H = 28, .W = 28, .C = 32});
  add_pool({.N = 16, .H = 112, .W = 112, .C = 64});
  for (const DenseParams& p :
       {DenseParams{100, 3136, 1024, true}, DenseParams{100, 1024, 10, false}, DenseParams{256, 4096, 4096, true}}) {
    add_dense(p);
  }
  add_dropout(100, 1024);
  add_softmax(100, 10);
  add_softmax(1024, 1000);
  add_adam(3274634);
  add_adam(30000000);
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  lockstep::add_all();
  return lockstep::run_benchmarks(
      argc, argv, {.bench = "kernel", .backend = "simd " + lockstep::simd_target_name(), .dtype = "float32"});
}
