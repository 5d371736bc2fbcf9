// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "kernels/dense/dense_impl.h"
#include "kernels/dense/dense_kernels.cuh"
#include "kernels/dense/dense_small.cuh"
#include "kernels/dense/gemm_fp32.cuh"
#include "kernels/dense/gemm_mma.cuh"
#include "kernels/tree_sum_cuda.h"

namespace lockstep::cuda {
namespace {

// Large tiles do more work per byte; small ones make enough blocks of a small product. The sizes are compared in
// docs/cuda.md.
using Fp32Large = Fp32Tile<8, 8, 4, 2, 16, 2>;  // 128 x 128, 256 threads
using Fp32Small = Fp32Tile<4, 4, 2, 2, 32, 4>;  // 32 x 64, 128 threads
using Fp32Tree = Fp32Tile<8, 4, 2, 2, 16, 4>;   // 64 x 64, 128 threads
template <class Number, int kDepth = 32>
using MmaLarge = MmaTile<Number, 4, 4, 2, 4, kDepth, 2>;  // 128 x 128, 256 threads
template <class Number>
using MmaSmall = MmaTile<Number, 1, 4, 2, 2, 32, 4>;  // 32 x 64, 128 threads
template <class Number>
using MmaTree = MmaTile<Number, 2, 4, 2, 2, 16, 4>;  // 64 x 64, 128 threads

constexpr int kEnoughBlocks = 128;  // about the SMs of the GPUs that this is for
constexpr int kSmallOutputs = 16;
constexpr int64_t kTreeExamples = 512;  // per slice: beyond, large tiles and a tree sum through memory win
constexpr int kUnchunked = 1024, kChunks = 4;

enum class Arithmetic { kFp32, kTf32, kBf16 };

// The length of the chunks in which the product of `K` terms is summed: a function of the layer's shape alone, as an
// element must not depend on the batch.
int chunk_of(int K) { return K <= kUnchunked ? std::max(K, 1) : static_cast<int>(ceil_div(K, kChunks * 32) * 32); }
int chunks_of(int K) { return K <= kUnchunked ? 1 : static_cast<int>(ceil_div(K, chunk_of(K))); }

Arithmetic arithmetic_of(const KernelContext& ctx) {
  return ctx.device->bf16 ? Arithmetic::kBf16 : ctx.device->tensor_cores ? Arithmetic::kTf32 : Arithmetic::kFp32;
}

// How a product is cut into blocks.
struct ProductPlan {
  bool large = false;
  bool split = false;  // over chunks
};
ProductPlan plan_product(int64_t M, int N, int K) {
  const int64_t large = ceil_div(M, 128) * ceil_div(N, 128), small = ceil_div(M, 32) * ceil_div(N, 64);
  const int chunks = chunks_of(K);
  if (large >= kEnoughBlocks) return {true, false};
  if (chunks > 1 && large * chunks >= kEnoughBlocks) return {true, true};
  return {false, chunks > 1 && small < 2 * kEnoughBlocks};
}

template <class Tile, Major kMajorB, bool kMaskA, bool kVector>
absl::Status launch_product(const KernelContext& ctx, ProductArgs args, int chunks) {
  args.tiles_n = static_cast<int>(ceil_div(args.b.outer, Tile::kN));
  const int64_t tiles = ceil_div(args.a.outer, Tile::kM) * args.tiles_n;
  const LaunchDims dims{dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(chunks)), dim3(Tile::kThreads),
                        BlockProduct<Tile, Major::kK, kMajorB, kMaskA, false, kVector>::kSharedBytes};
  return launch(dense_product_kernel<Tile, kMajorB, kMaskA, kVector>, dims, ctx.device->stream, args);
}

template <Major kMajorB, bool kMaskA>
absl::Status launch_product(const KernelContext& ctx, const ProductArgs& args, bool large, bool vector, int chunks) {
  if (!vector) return launch_product<Fp32Small, kMajorB, kMaskA, false>(ctx, args, chunks);
  switch (arithmetic_of(ctx)) {
    case Arithmetic::kFp32:
      return large ? launch_product<Fp32Large, kMajorB, kMaskA, true>(ctx, args, chunks)
                   : launch_product<Fp32Small, kMajorB, kMaskA, true>(ctx, args, chunks);
    case Arithmetic::kTf32:
      return large ? launch_product<MmaLarge<Tf32>, kMajorB, kMaskA, true>(ctx, args, chunks)
                   : launch_product<MmaSmall<Tf32>, kMajorB, kMaskA, true>(ctx, args, chunks);
    case Arithmetic::kBf16:
      return large ? launch_product<MmaLarge<Bf16>, kMajorB, kMaskA, true>(ctx, args, chunks)
                   : launch_product<MmaSmall<Bf16>, kMajorB, kMaskA, true>(ctx, args, chunks);
  }
  return absl::OkStatus();
}

absl::Status check_workspace(const KernelContext& ctx, int64_t needed) {
  if (static_cast<int64_t>(ctx.device->workspace_bytes) >= needed) return absl::OkStatus();
  return absl::InternalError("dense: the workspace is smaller than dense_workspace_bytes");
}

// C = relu(A B + bias) with as many blocks as it takes.
template <Major kMajorB, bool kMaskA>
absl::Status product(const KernelContext& ctx, ProductArgs args, bool vector) {
  const int64_t M = args.a.outer, N = args.b.outer;
  if (M == 0 || N == 0) return absl::OkStatus();
  const ProductPlan plan = plan_product(M, static_cast<int>(N), args.K);
  args.chunk = chunk_of(args.K);
  if (!plan.split) return launch_product<kMajorB, kMaskA>(ctx, args, plan.large, vector, 1);
  const int chunks = chunks_of(args.K);
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(ctx, chunks * M * N * static_cast<int64_t>(sizeof(float))));
  args.partial = static_cast<float*>(ctx.device->workspace);
  LOCKSTEP_RETURN_IF_ERROR((launch_product<kMajorB, kMaskA>(ctx, args, plan.large, vector, chunks)));
  const LaunchDims dims{dim3(static_cast<unsigned>(ceil_div(M * N, 256))), dim3(256)};
  return launch(dense_chunk_sum_kernel, dims, ctx.device->stream, args, chunks);
}

// Whether 16-byte accesses suit every operand of the layer.
bool vector_fits(const DenseParams& p, std::initializer_list<const void*> pointers) {
  return p.I % 4 == 0 && p.O % 4 == 0 &&
         std::all_of(pointers.begin(), pointers.end(), [](const void* q) { return is_aligned<16>(q); });
}

bool is_small(const DenseParams& p) { return p.O >= 1 && p.O <= kSmallOutputs; }
template <class F>
absl::Status with_pairs(int O, const F& f) {
  return O <= 10 ? f(std::integral_constant<int, 5>()) : f(std::integral_constant<int, 8>());
}

absl::Status small_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y) {
  return with_pairs(p.O, [&](auto pairs) {
    constexpr int kPairs = decltype(pairs)::value;
    const size_t shared = kSmallRows * kPairStride<kPairs> * sizeof(float);
    const bool many = p.N >= 4096;  // enough blocks with four examples a warp: the weights are then read less often
    const LaunchDims dims{dim3(static_cast<unsigned>(ceil_div(p.N, many ? 32 : 8))), dim3(256), shared};
    return launch(many ? dense_small_fwd_kernel<kPairs, 4> : dense_small_fwd_kernel<kPairs, 1>, dims,
                  ctx.device->stream, SmallDense{p.N, p.I, p.O, p.relu}, x, w, b, y);
  });
}

absl::Status small_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x) {
  constexpr int kInputs = 256 * kSmallColumns;
  constexpr int64_t kMaxRows = 65535;  // of a grid
  for (int64_t n0 = 0; n0 < p.N; n0 += kMaxRows * kSmallExamples) {
    const int64_t N = std::min(p.N - n0, kMaxRows * kSmallExamples);
    LOCKSTEP_RETURN_IF_ERROR(with_pairs(p.O, [&](auto pairs) {
      constexpr int kPairs = decltype(pairs)::value;
      const size_t shared = (kInputs + kSmallExamples) * kPairStride<kPairs> * sizeof(float);
      const LaunchDims dims{
          dim3(static_cast<unsigned>(ceil_div(p.I, kInputs)), static_cast<unsigned>(ceil_div(N, kSmallExamples))),
          dim3(256), shared};
      return launch(dense_small_bwd_data_kernel<kPairs>, dims, ctx.device->stream, SmallDense{N, p.I, p.O, p.relu}, w,
                    y + n0 * p.O, grad_y + n0 * p.O, grad_x + n0 * p.I);
    }));
  }
  return absl::OkStatus();
}

// Where the sums of groups of slices of a subtree go: to the result when there is one group, else side by side into the
// workspace, weights and bias behind each other, from where sum_groups adds them.
struct GroupSums {
  float* w;
  float* b;
  int64_t stride;
};
GroupSums group_sums(const KernelContext& ctx, const DenseParams& p, int groups, float* grad_w, float* grad_b) {
  const int64_t size = int64_t{p.I} * p.O, stride = ceil_div(size + p.O, 4) * 4;
  if (groups == 1) return {grad_w, grad_b, 0};
  float* const sums = static_cast<float*>(ctx.device->workspace);
  return {sums, sums + size, stride};
}
absl::Status sum_groups(const KernelContext& ctx, const DenseParams& p, int groups, const GroupSums& sums,
                        float* grad_w, float* grad_b) {
  if (groups == 1) return absl::OkStatus();
  GradSlices tree;  // the groups, as the slices of one subtree
  tree.subtrees = {groups};
  const int64_t size = int64_t{p.I} * p.O;
  LOCKSTEP_RETURN_IF_ERROR(sum_slices(ctx, tree, {sums.w, sums.stride}, size, {grad_w, size}));
  return sum_slices(ctx, tree, {sums.b, sums.stride}, p.O, {grad_b, p.O});
}

// Slices that a block adds along the tree.
int group_of(const DenseParams& p, const GradSlices& slices, int subtree, bool vector) {
  if (is_small(p)) return 1;
  const int begin = slices.subtree_begin(subtree), size = slices.subtrees[static_cast<size_t>(subtree)];
  const int64_t examples =
      slices.offsets[static_cast<size_t>(begin + size)] - slices.offsets[static_cast<size_t>(begin)];
  const bool by_slice = vector && examples >= kTreeExamples * size && size > 1;
  return by_slice ? 1 : std::min(size, 1 << kGroupLevels);
}

template <class Tile, bool kTree, bool kVector>
absl::Status launch_filter(const KernelContext& ctx, FilterArgs args, const SliceOffsets& offsets, int groups) {
  args.tiles_n = static_cast<int>(ceil_div(args.grad.outer, Tile::kN));
  // Without inputs there are still columns to sum.
  const int64_t tiles = std::max<int64_t>(ceil_div(args.x.outer, Tile::kM), 1) * args.tiles_n;
  const LaunchDims dims{dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(groups)), dim3(Tile::kThreads),
                        static_cast<size_t>(FilterKernel<Tile, kTree, kVector>::shared_bytes(log2_of(args.group)))};
  return launch(dense_filter_kernel<Tile, kTree, kVector>, dims, ctx.device->stream, args, offsets);
}

template <bool kTree, class Fp32, class Tf32Tile, class Bf16Tile>
absl::Status launch_filter(const KernelContext& ctx, const FilterArgs& args, const SliceOffsets& offsets, int groups) {
  switch (arithmetic_of(ctx)) {
    case Arithmetic::kFp32:
      return launch_filter<Fp32, kTree, true>(ctx, args, offsets, groups);
    case Arithmetic::kTf32:
      return launch_filter<Tf32Tile, kTree, true>(ctx, args, offsets, groups);
    case Arithmetic::kBf16:
      return launch_filter<Bf16Tile, kTree, true>(ctx, args, offsets, groups);
  }
  return absl::OkStatus();
}

absl::Status small_filter(const KernelContext& ctx, const DenseParams& p, const SliceOffsets& offsets, int slices,
                          const float* x, const float* y, const float* grad_y, const GroupSums& sums) {
  return with_pairs(p.O, [&](auto pairs) {
    constexpr int kPairs = decltype(pairs)::value;
    constexpr int kGrads = kSmallExamples * kPairStride<kPairs>, kSums = kSmallGroups * kSmallInputs * (2 * kPairs + 1);
    const LaunchDims dims{dim3(static_cast<unsigned>(ceil_div(p.I + 1, kSmallInputs)), static_cast<unsigned>(slices)),
                          dim3(kSmallInputs * kSmallGroups), std::max(kGrads, kSums) * sizeof(float)};
    return launch(dense_small_bwd_filter_kernel<kPairs, SliceOffsets>, dims, ctx.device->stream,
                  SmallDense{p.N, p.I, p.O, p.relu}, offsets, x, y, grad_y, sums.w, sums.stride, sums.b, sums.stride);
  });
}

// The gradients of one subtree.
absl::Status subtree_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, int subtree,
                            const float* x, const float* y, const float* grad_y, float* grad_w, float* grad_b) {
  const int begin = slices.subtree_begin(subtree), size = slices.subtrees[static_cast<size_t>(subtree)];
  if (size > kMaxSlices) return absl::UnimplementedError("dense: more than 256 gradient slices on a GPU");
  SliceOffsets offsets{};
  for (int s = 0; s <= size; ++s) offsets.at[s] = static_cast<int32_t>(slices.offsets[static_cast<size_t>(begin + s)]);
  const bool vector = vector_fits(p, {x, y, grad_y, grad_w});
  const int group = group_of(p, slices, subtree, vector), groups = size / group;
  const GroupSums sums = group_sums(ctx, p, groups, grad_w, grad_b);
  if (is_small(p)) {
    LOCKSTEP_RETURN_IF_ERROR(small_filter(ctx, p, offsets, size, x, y, grad_y, sums));
  } else {
    const FilterArgs args{.x = {x, nullptr, p.I, p.I},
                          .grad = {grad_y, p.relu ? y : nullptr, p.O, p.O},
                          .grad_w = sums.w,
                          .grad_b = sums.b,
                          .stride_w = sums.stride,
                          .stride_b = sums.stride,
                          .group = group,
                          .tiles_n = 0};
    if (!vector) {
      LOCKSTEP_RETURN_IF_ERROR((launch_filter<Fp32Tree, true, false>(ctx, args, offsets, groups)));
    } else if (group == 1) {
      LOCKSTEP_RETURN_IF_ERROR(
          (launch_filter<false, Fp32Large, MmaLarge<Tf32, 16>, MmaLarge<Bf16, 16>>(ctx, args, offsets, groups)));
    } else {
      LOCKSTEP_RETURN_IF_ERROR(
          (launch_filter<true, Fp32Tree, MmaTree<Tf32>, MmaTree<Bf16>>(ctx, args, offsets, groups)));
    }
  }
  return sum_groups(ctx, p, groups, sums, grad_w, grad_b);
}

}  // namespace

int64_t dense_workspace_bytes(const KernelContext&, const DenseParams& p, const GradSlices& slices) {
  int64_t floats = 0;
  // The chunks of forward and of the input's gradient.
  if (!is_small(p)) {
    if (plan_product(p.N, p.O, p.I).split) floats = std::max(floats, chunks_of(p.I) * p.N * p.O);
    if (plan_product(p.N, p.I, p.O).split) floats = std::max(floats, chunks_of(p.O) * p.N * p.I);
  }
  for (size_t t = 0; t < slices.subtrees.size(); ++t) {
    // Misaligned buffers need less.
    const int groups = slices.subtrees[t] / group_of(p, slices, static_cast<int>(t), /*vector=*/true);
    if (groups > 1) floats = std::max(floats, groups * (ceil_div(int64_t{p.I} * p.O + p.O, 4) * 4));
  }
  return floats * static_cast<int64_t>(sizeof(float));
}

absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y) {
  if (is_small(p)) return small_fwd(ctx, p, x, w, b, y);
  const ProductArgs args{.a = {x, nullptr, p.I, p.N},
                         .b = {w, nullptr, p.O, p.O},
                         .bias = b,
                         .c = y,
                         .partial = nullptr,
                         .K = p.I,
                         .chunk = 0,
                         .tiles_n = 0,
                         .relu = p.relu};
  return product<Major::kOuter, false>(ctx, args, vector_fits(p, {x, w, b, y}));
}

absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x) {
  if (p.I == 0) return absl::OkStatus();
  if (is_small(p)) return small_bwd_data(ctx, p, w, y, grad_y, grad_x);
  const ProductArgs args{.a = {grad_y, p.relu ? y : nullptr, p.O, p.N},
                         .b = {w, nullptr, p.O, p.I},
                         .bias = nullptr,
                         .c = grad_x,
                         .partial = nullptr,
                         .K = p.O,
                         .chunk = 0,
                         .tiles_n = 0,
                         .relu = false};
  return product<Major::kK, true>(ctx, args, vector_fits(p, {w, y, grad_y, grad_x}));
}

absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  if (p.O == 0) return absl::OkStatus();
  if (p.N > std::numeric_limits<int32_t>::max()) {
    return absl::UnimplementedError("dense: more than 2^31 examples on a GPU");
  }
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(ctx, dense_workspace_bytes(ctx, p, slices)));
  for (size_t t = 0; t < slices.subtrees.size(); ++t) {
    const auto at = static_cast<int64_t>(t);
    LOCKSTEP_RETURN_IF_ERROR(subtree_filter(ctx, p, slices, static_cast<int>(t), x, y, grad_y,
                                            grad_w.data + at * grad_w.stride, grad_b.data + at * grad_b.stride));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::cuda
