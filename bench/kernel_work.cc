// SPDX-License-Identifier: Apache-2.0
#include "bench/kernel_work.h"

#include <fmt/format.h>

#include <utility>

#include "bench/kernel_check.h"
#include "bench/memory_bound_work.h"
#include "core/base/check.h"
#include "core/base/host_info.h"
#include "core/base/thread_pool.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/dense/dense.h"
#include "kernels/device_ops.h"

namespace lockstep {
namespace {

using Kernels = std::vector<TimedKernel>;

GradSlices slices_of(int64_t examples) { return GradSlices::for_rank(0, 1, KernelWork::kSlices, examples); }

// ---- Convolution, with or without the pool behind it.

struct ConvShape {
  Conv2dParams p;
  bool pooled = false;

  ConvShape sized(int64_t N) const {
    ConvShape shape = *this;
    shape.p.N = N;
    return shape;
  }
  Pool2dParams pool() const { return {.N = p.N, .H = p.OH(), .W = p.OW(), .C = p.K}; }
  int64_t in_size() const { return p.N * p.H * p.W * p.C; }
  int64_t out_size() const {
    const Pool2dParams behind = pool();
    return pooled ? p.N * behind.OH() * behind.OW() * p.K : p.N * p.OH() * p.OW() * p.K;
  }
  int64_t argmax_size() const { return pooled ? out_size() : 0; }
  double argmax_bytes() const { return static_cast<double>(argmax_size()); }
  std::string op(const char* pass) const { return fmt::format("conv2d_{}{}", pooled ? "pool_" : "", pass); }
  std::string text() const {
    return fmt::format("{}x{}x{}x{} {}x{}x{}{}", p.N, p.H, p.W, p.C, p.R, p.S, p.K, pooled ? " pool 2" : "");
  }
  std::function<int64_t(const KernelContext&)> workspace_bytes() const {
    return [shape = *this](const KernelContext& ctx) {
      const Pool2dParams behind = shape.pool();
      const auto bytes = ctx.device->ops->conv2d_workspace_bytes;
      return bytes(ctx, shape.p, shape.pooled ? &behind : nullptr, slices_of(shape.p.N));
    };
  }
};

std::vector<float> run_on_cpu(const KernelWork& work) {
  ThreadPool pool(available_cores());
  HostOperands operands(work);
  LOCKSTEP_CHECK(work.run({.backend = Backend::kSimd, .pool = &pool}, operands.operands()).ok());
  return std::move(operands.results(work).value().front().values);
}

KernelWork conv_fwd(const ConvShape& s) {
  KernelWork work;
  work.floats = {bench_input(s.in_size(), 1), bench_input(s.p.filter_size(), 2), bench_input(s.p.K, 3)};
  work.bytes.resize(static_cast<size_t>(s.argmax_size()));
  work.out_size = s.out_size();
  work.flops = s.p.flops();
  work.moved_bytes = float_bytes(s.in_size() + s.p.filter_size() + s.out_size()) + s.argmax_bytes();
  work.workspace_bytes = s.workspace_bytes();
  if (s.pooled) {
    work.pool = s.pool();
    work.pool_input = [s] { return run_on_cpu(conv_fwd({s.p, false})); };
  }
  work.run = [s](const KernelContext& ctx, const Operands& o) {
    if (!s.pooled) return conv2d_fwd(ctx, s.p, o.floats[0], o.floats[1], o.floats[2], o.out);
    return conv2d_pool_fwd(ctx, s.p, s.pool(), o.floats[0], o.floats[1], o.floats[2], o.out, o.bytes);
  };
  return work;
}

// Where the maxima of the forward pass were; its output decides the ReLU's mask.
void run_forward(const ConvShape& s, std::vector<float>* y, std::vector<uint8_t>* argmax) {
  KernelWork work = conv_fwd(s);
  y->resize(static_cast<size_t>(s.out_size()));
  argmax->resize(static_cast<size_t>(s.argmax_size()));
  const Operands operands{
      {work.floats[0].data(), work.floats[1].data(), work.floats[2].data()}, nullptr, argmax->data(), y->data()};
  LOCKSTEP_CHECK(work.run({.backend = Backend::kSimd}, operands).ok());
}

KernelWork conv_bwd(const ConvShape& s) {
  KernelWork work;
  work.floats.resize(3);
  run_forward(s, &work.floats[1], &work.bytes);
  work.floats[2] = bench_input(s.out_size(), 5);
  work.flops = s.p.flops();
  work.moved_bytes = float_bytes(s.in_size() + s.p.filter_size() + 2 * s.out_size()) + s.argmax_bytes();
  work.workspace_bytes = s.workspace_bytes();
  return work;
}

KernelWork conv_bwd_data(const ConvShape& s) {
  KernelWork work = conv_bwd(s);
  work.floats[0] = bench_input(s.p.filter_size(), 2);
  work.out_size = s.in_size();
  work.run = [s](const KernelContext& ctx, const Operands& o) {
    const float *const w = o.floats[0], *const y = o.floats[1], *const grad_y = o.floats[2];
    if (!s.pooled) return conv2d_bwd_data(ctx, s.p, w, y, grad_y, o.out);
    return conv2d_pool_bwd_data(ctx, s.p, s.pool(), w, y, o.bytes, grad_y, o.out);
  };
  return work;
}

// The output: gradient of the filter, then of the bias.
KernelWork conv_bwd_filter(const ConvShape& s) {
  KernelWork work = conv_bwd(s);
  work.floats[0] = bench_input(s.in_size(), 1);
  const int64_t size = s.p.filter_size() + s.p.K;
  work.out_size = size;
  work.out_parts = {{"gradient of the filter", s.p.filter_size()}, {"gradient of the bias", s.p.K}};
  work.run = [s, size](const KernelContext& ctx, const Operands& o) {
    const float *const x = o.floats[0], *const y = o.floats[1], *const grad_y = o.floats[2];
    const GradOutput to_w{o.out, size}, to_b{o.out + s.p.filter_size(), size};
    if (!s.pooled) return conv2d_bwd_filter(ctx, s.p, slices_of(s.p.N), x, y, grad_y, to_w, to_b);
    return conv2d_pool_bwd_filter(ctx, s.p, s.pool(), slices_of(s.p.N), x, y, o.bytes, grad_y, to_w, to_b);
  };
  return work;
}

void add_conv_passes(const ConvShape& s, Kernels* kernels) {
  const auto add = [&](const char* pass, KernelWork (*make)(const ConvShape&)) {
    kernels->push_back({.op = s.op(pass),
                        .shape = s.text(),
                        .N = s.p.N,
                        .products = true,
                        .in_cudnn = true,
                        .make = [s, make](int64_t N) { return make(s.sized(N)); }});
  };
  add("fwd", conv_fwd);
  if (s.p.C > 1) add("bwd_data", conv_bwd_data);  // nobody needs the gradient of an image
  add("bwd_filter", conv_bwd_filter);
}

void add_conv(const Conv2dParams& p, Kernels* kernels) {
  add_conv_passes({p, false}, kernels);
  add_conv_passes({p, true}, kernels);
}

// ---- Dense layers.

int64_t weights_of(const DenseParams& p) { return int64_t{p.I} * p.O; }

KernelWork dense_work(const DenseParams& p) {
  KernelWork work;
  work.flops = p.flops();
  work.workspace_bytes = [p](const KernelContext& ctx) {
    return ctx.device->ops->dense_workspace_bytes(ctx, p, slices_of(p.N));
  };
  work.moved_bytes = float_bytes(weights_of(p) + p.N * (p.I + p.O));
  return work;
}

KernelWork dense_forward(const DenseParams& p) {
  KernelWork work = dense_work(p);
  work.floats = {bench_input(p.N * p.I, 1), bench_input(weights_of(p), 2), bench_input(p.O, 3)};
  work.out_size = p.N * p.O;
  work.run = [p](const KernelContext& ctx, const Operands& o) {
    return dense_fwd(ctx, p, o.floats[0], o.floats[1], o.floats[2], o.out);
  };
  return work;
}

KernelWork dense_input_grad(const DenseParams& p) {
  KernelWork work = dense_work(p);
  work.floats = {bench_input(weights_of(p), 2), bench_input(p.N * p.O, 4), bench_input(p.N * p.O, 5)};
  work.out_size = p.N * p.I;
  work.moved_bytes += float_bytes(p.N * p.O);
  work.run = [p](const KernelContext& ctx, const Operands& o) {
    return dense_bwd_data(ctx, p, o.floats[0], o.floats[1], o.floats[2], o.out);
  };
  return work;
}

KernelWork dense_weight_grad(const DenseParams& p) {
  KernelWork work = dense_work(p);
  work.floats = {bench_input(p.N * p.I, 1), bench_input(p.N * p.O, 4), bench_input(p.N * p.O, 5)};
  const int64_t size = weights_of(p) + p.O;
  work.out_size = size;
  work.out_parts = {{"gradient of the weights", weights_of(p)}, {"gradient of the bias", p.O}};
  work.moved_bytes += float_bytes(p.N * p.O);
  work.run = [p, size](const KernelContext& ctx, const Operands& o) {
    return dense_bwd_filter(ctx, p, slices_of(p.N), o.floats[0], o.floats[1], o.floats[2], {o.out, size},
                            {o.out + weights_of(p), size});
  };
  return work;
}

void add_dense(const DenseParams& p, Kernels* kernels) {
  const auto add = [&](const char* op, KernelWork (*make)(const DenseParams&)) {
    kernels->push_back({.op = op,
                        .shape = fmt::format("{} {}x{}", p.N, p.I, p.O),
                        .N = p.N,
                        .products = true,
                        .make = [p, make](int64_t N) {
                          return make({N, p.I, p.O, p.relu});
                        }});
  };
  add("dense_fwd", dense_forward);
  add("dense_bwd_data", dense_input_grad);
  add("dense_bwd_filter", dense_weight_grad);
}

// What lies at the positions that an arg-max names.
absl::StatusOr<Result> held_values(const Pool2dParams& p, const std::vector<float>& x,
                                   std::span<const uint8_t> argmax) {
  Result held{"arg-max", {}};
  held.values.reserve(argmax.size());
  const int OH = p.OH(), OW = p.OW();
  for (size_t i = 0; i < argmax.size(); ++i) {
    const int64_t c = static_cast<int64_t>(i) % p.C, window = static_cast<int64_t>(i) / p.C;
    const int64_t h = window / OW % OH * p.stride - p.dim_h().pad_before + argmax[i] / p.window;
    const int64_t w = window % OW * p.stride - p.dim_w().pad_before + argmax[i] % p.window;
    if (argmax[i] >= p.window * p.window || h < 0 || h >= p.H || w < 0 || w >= p.W) {
      return absl::DataLossError(fmt::format("arg-max {}: {} is outside the window or the image", i, argmax[i]));
    }
    const int64_t n = window / OW / OH;
    held.values.push_back(x[static_cast<size_t>(((n * p.H + h) * p.W + w) * p.C + c)]);
  }
  return held;
}

}  // namespace

absl::StatusOr<std::vector<Result>> results_of(const KernelWork& work, std::span<const float> out,
                                               const std::vector<std::vector<float>>& floats,
                                               std::span<const uint8_t> bytes) {
  std::vector<Result> results;
  std::vector<KernelWork::Part> parts = work.out_parts;
  if (parts.empty()) parts.push_back({"output", work.out_size});
  for (const KernelWork::Part& part : parts) {
    const std::span<const float> values = out.first(static_cast<size_t>(part.size));
    results.push_back({part.name, {values.begin(), values.end()}});
    out = out.subspan(values.size());
  }
  LOCKSTEP_CHECK(out.empty());
  for (size_t i = 0; i < work.updated.size(); ++i) {
    if (!work.updated[i].empty()) results.push_back({work.updated[i], floats[i]});
  }
  if (work.pool_input) {
    LOCKSTEP_ASSIGN_OR_RETURN(results.emplace_back(), held_values(work.pool, work.pool_input(), bytes));
  }
  return results;
}

absl::Status check_results(const std::vector<Result>& expected, const std::vector<Result>& got, float tolerance) {
  LOCKSTEP_CHECK_EQ(expected.size(), got.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const absl::Status close = check_close(expected[i].values, got[i].values, tolerance);
    if (!close.ok()) return absl::DataLossError(fmt::format("{}, {}", expected[i].name, std::string(close.message())));
  }
  return absl::OkStatus();
}

std::vector<TimedKernel> reference_kernels(int64_t batch) {
  Kernels kernels;
  add_conv({.N = batch, .H = 28, .W = 28, .C = 1, .K = 32, .R = 5, .S = 5, .relu = true}, &kernels);
  add_conv({.N = batch, .H = 14, .W = 14, .C = 32, .K = 64, .R = 5, .S = 5, .relu = true}, &kernels);
  add_images(batch, 28 * 28, &kernels);
  add_pool({.N = batch, .H = 28, .W = 28, .C = 32}, &kernels);
  add_dense({batch, 3136, 1024, true}, &kernels);
  add_dense({batch, 1024, 10, false}, &kernels);
  add_dropout(batch, 1024, &kernels);
  add_softmax(batch, 10, &kernels);
  add_tree_sum(3136 * 1024, &kernels);
  add_adam(3274634, &kernels);
  return kernels;
}

std::vector<TimedKernel> large_kernels() {
  Kernels kernels;
  add_conv({.N = 16, .H = 56, .W = 56, .C = 128, .K = 128, .R = 3, .S = 3, .relu = true}, &kernels);
  add_pool({.N = 16, .H = 112, .W = 112, .C = 64}, &kernels);
  add_dense({256, 4096, 4096, true}, &kernels);
  add_images(256, 224 * 224 * 3, &kernels);
  add_softmax(1024, 1000, &kernels);
  add_tree_sum(4096 * 4096, &kernels);
  add_adam(30000000, &kernels);
  return kernels;
}

std::vector<TimedKernel> tiny_kernels() {
  Kernels kernels;
  add_conv({.N = 3, .H = 8, .W = 6, .C = 1, .K = 8, .R = 5, .S = 5, .relu = true}, &kernels);
  add_conv({.N = 3, .H = 6, .W = 6, .C = 16, .K = 8, .R = 3, .S = 3, .relu = true}, &kernels);
  add_pool({.N = 3, .H = 6, .W = 4, .C = 5}, &kernels);
  add_dense({9, 36, 20, true}, &kernels);
  add_images(3, 35, &kernels);
  add_dropout(3, 17, &kernels);
  add_softmax(5, 10, &kernels);
  add_tree_sum(1003, &kernels);
  add_adam(1003, &kernels);
  return kernels;
}

HostOperands::HostOperands(const KernelWork& work)
    : floats_(work.floats), labels_(work.labels), bytes_(work.bytes), out_(static_cast<size_t>(work.out_size)) {}

Operands HostOperands::operands() {
  Operands operands{{}, labels_.data(), bytes_.data(), out_.data()};
  for (std::vector<float>& array : floats_) operands.floats.push_back(array.data());
  return operands;
}

}  // namespace lockstep
