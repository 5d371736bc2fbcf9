// SPDX-License-Identifier: Apache-2.0
#include "bench/memory_bound_work.h"

#include <fmt/format.h>

#include <iterator>

#include "bench/kernel_check.h"
#include "core/base/check.h"
#include "kernels/adam/adam.h"
#include "kernels/cuda_library.h"
#include "kernels/device_ops.h"
#include "kernels/dropout/dropout.h"
#include "kernels/images/images.h"
#include "kernels/slice_sum_ref.h"
#include "kernels/softmax_xent/softmax_xent.h"
#include "kernels/tree_sum.h"

namespace lockstep {
namespace {

using Kernels = std::vector<TimedKernel>;

KernelWork pool_fwd(const Pool2dParams& p) {
  const int64_t in_size = p.N * p.H * p.W * p.C, out_size = p.N * p.OH() * p.OW() * p.C;
  KernelWork work;
  work.floats = {bench_input(in_size, 1)};
  work.bytes.resize(static_cast<size_t>(out_size));
  work.out_size = out_size;
  work.moved_bytes = float_bytes(in_size + out_size) + static_cast<double>(out_size);
  work.pool = p;
  work.pool_input = [x = work.floats[0]] { return x; };
  work.run = [p](const KernelContext& ctx, const Operands& o) {
    return pool2d_max_fwd(ctx, p, o.floats[0], o.out, o.bytes);
  };
  return work;
}

KernelWork pool_bwd(const Pool2dParams& p) {
  KernelWork work = pool_fwd(p);
  std::vector<float> y(static_cast<size_t>(work.out_size));
  const Operands forward{{work.floats[0].data()}, nullptr, work.bytes.data(), y.data()};
  LOCKSTEP_CHECK(work.run({.backend = Backend::kSimd}, forward).ok());  // work.bytes: where the maxima are
  work.pool_input = nullptr;                                            // the arg-max is an operand here
  work.out_size = std::ssize(work.floats[0]);
  work.floats = {bench_input(std::ssize(y), 5)};
  work.run = [p](const KernelContext& ctx, const Operands& o) {
    return pool2d_max_bwd(ctx, p, o.bytes, o.floats[0], o.out);
  };
  return work;
}

}  // namespace

void add_pool(const Pool2dParams& p, Kernels* kernels) {
  const auto add = [&](const char* op, bool in_cudnn, KernelWork (*make)(const Pool2dParams&)) {
    kernels->push_back({.op = op,
                        .shape = fmt::format("{}x{}x{}x{} window {}", p.N, p.H, p.W, p.C, p.window),
                        .N = p.N,
                        .in_cudnn = in_cudnn,
                        .make = [p, make](int64_t N) {
                          Pool2dParams sized = p;
                          sized.N = N;
                          return make(sized);
                        }});
  };
  add("pool2d_max_fwd", true, pool_fwd);
  add("pool2d_max_bwd", false, pool_bwd);
}

void add_dropout(int64_t batch, int64_t units, Kernels* kernels) {
  const auto add = [&](const char* op, decltype(dropout_fwd)* pass) {
    kernels->push_back(
        {.op = op, .shape = fmt::format("{} {}", batch, units), .N = batch, .make = [units, pass](int64_t N) {
           const DropoutParams p{.N = N, .units = units, .rate = 0.4f, .seed = 1};
           KernelWork work;
           work.floats = {bench_input(N * units, 1)};
           work.out_size = N * units;
           work.moved_bytes = 2 * float_bytes(N * units);
           work.run = [p, pass](const KernelContext& ctx, const Operands& o) {
             return pass(ctx, p, o.floats[0], o.out);
           };
           return work;
         }});
  };
  add("dropout_fwd", dropout_fwd);
  add("dropout_bwd", dropout_bwd);
}

void add_images(int64_t batch, int64_t pixels, Kernels* kernels) {
  kernels->push_back(
      {.op = "scale_images", .shape = fmt::format("{} {}", batch, pixels), .N = batch, .make = [pixels](int64_t N) {
         const int64_t count = N * pixels;
         KernelWork work;
         for (int64_t i = 0; i < count; ++i) work.bytes.push_back(static_cast<uint8_t>(i * 37 % 251 + i / 251 % 5));
         work.out_size = count;
         work.moved_bytes = float_bytes(count) + static_cast<double>(count);
         work.run = [count](const KernelContext& ctx, const Operands& o) {
           return scale_images(ctx, count, o.bytes, o.out);
         };
         return work;
       }});
}

namespace {

// The output: losses, then gradients.
KernelWork softmax_work(const SoftmaxXentParams& p) {
  KernelWork work;
  work.floats = {bench_input(p.N * p.C, 1)};
  for (int64_t n = 0; n < p.N; ++n) work.labels.push_back(static_cast<int32_t>(7 * n % p.C));
  work.out_size = p.N * (p.C + 1);
  work.out_parts = {{"losses", p.N}, {"gradients", p.N * p.C}};
  work.moved_bytes = float_bytes(p.N * (2 * p.C + 1));
  work.workspace_bytes = [p](const KernelContext& ctx) {
    const auto bytes = ctx.device->ops->softmax_xent_workspace_bytes;
    return bytes == nullptr ? 0 : bytes(ctx, p.N, p.C);
  };
  work.run = [p](const KernelContext& ctx, const Operands& o) {
    return softmax_xent(ctx, p, o.floats[0], o.labels, o.out, nullptr, o.out + p.N);
  };
  return work;
}

KernelWork softmax_alone(const SoftmaxXentParams& p) {
  KernelWork work;
  work.floats = {bench_input(p.N * p.C, 1)};
  work.out_size = p.N * p.C;
  work.moved_bytes = 2 * float_bytes(p.N * p.C);
  work.run = [p](const KernelContext& ctx, const Operands& o) { return softmax(ctx, p.N, p.C, o.floats[0], o.out); };
  return work;
}

// Slices of one gradient become its sum. The operators call it themselves, so it is not in their table.
KernelWork tree_sum(int64_t size) {
  constexpr int kSlices = KernelWork::kSlices;
  const GradSlices slices = GradSlices::for_rank(0, 1, kSlices, kSlices);  // one example each
  KernelWork work;
  work.floats = {bench_input(kSlices * size, 1)};
  work.out_size = size;
  work.flops = static_cast<double>((kSlices - 1) * size);
  work.moved_bytes = float_bytes((kSlices + 1) * size);
  work.run = [slices, size](const KernelContext& ctx, const Operands& o) {
    const GradOutput out{o.out, size};
    if (ctx.backend == Backend::kRef) {
      ref::write_partial_sums(slices, size, out, {}, [&](int64_t slice, int64_t) {
        return std::vector<float>(o.floats[0] + slice * size, o.floats[0] + (slice + 1) * size);
      });
    } else {
      sum_slices(ctx, slices, {o.floats[0], size}, size, out);
    }
    return absl::OkStatus();
  };
  work.run_by_library = [slices, size](const CudaLibrary& library, const KernelContext& ctx, const Operands& o) {
    return library.sum_slices(ctx, slices, {o.floats[0], size}, size, {o.out, size});
  };
  return work;
}

}  // namespace

void add_softmax(int64_t batch, int classes, Kernels* kernels) {
  const auto add = [&](const char* op, KernelWork (*make)(const SoftmaxXentParams&)) {
    kernels->push_back({.op = op,
                        .shape = fmt::format("{} {}", batch, classes),
                        .N = batch,
                        .in_cudnn = true,
                        .make = [classes, make](int64_t N) {
                          return make({.N = N, .C = classes, .grad_scale = 1.0f / static_cast<float>(N)});
                        }});
  };
  add("softmax_xent", softmax_work);
  add("softmax", softmax_alone);
}

void add_tree_sum(int64_t count, Kernels* kernels) {
  kernels->push_back({.op = "tree_sum",
                      .shape = fmt::format("{} slices of {}", KernelWork::kSlices, count),
                      .N = count,
                      .checked = 1000,
                      .make = tree_sum});
}

// The output: the weights, which every call moves on, so that the moments are those of a run, not zeros.
void add_adam(int64_t count, Kernels* kernels) {
  kernels->push_back(
      {.op = "adam_update", .shape = fmt::format("{}", count), .N = count, .checked = 1000, .make = [](int64_t size) {
         KernelWork work;
         work.floats = {bench_input(size, 1), bench_input(size, 2), bench_input(size, 3)};
         // Second moments are squares; none is so small that its quotient dwarfs the others.
         for (float& value : work.floats[2]) value = 0.25f + 0.75f * value * value;
         work.updated = {"", "m", "v"};
         work.out_parts = {{"w", size}};
         work.out_size = size;
         work.moved_bytes = 7 * float_bytes(size);  // reads g, m, v, w; writes m, v, w
         work.run = [size](const KernelContext& ctx, const Operands& o) {
           const GradTerm term{o.floats[0], KernelWork::kSlices};
           return adam_update(ctx, {}, size, {&term, 1}, o.floats[1], o.floats[2], o.out);
         };
         return work;
       }});
}

}  // namespace lockstep
