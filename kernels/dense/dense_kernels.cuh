// SPDX-License-Identifier: Apache-2.0
// The matrix products of a dense layer: forward, gradient of the input, gradient of the weights.
#pragma once

#include "kernels/dense/gemm_tile.cuh"
#include "kernels/tree_sum_cuda.cuh"

namespace lockstep::cuda {

// Neighbouring columns from n on of a row of N columns, as far as they are inside; kVector: N and the address of the
// row are multiples of 16 bytes.
template <bool kVector, int kRun>
__device__ __forceinline__ void store_run(float* row, int n, int N, const float (&v)[kRun]) {
  if constexpr (kVector && kRun == 4) {
    if (n < N) store4(row + n, make_float4(v[0], v[1], v[2], v[3]));
  } else if constexpr (kVector && kRun == 2) {
    if (n < N) store2(row + n, make_float2(v[0], v[1]));
  } else {
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      if (n + i < N) row[n + i] = v[i];
    }
  }
}
template <bool kVector, int kRun>
__device__ __forceinline__ void add_run(const float* row, int n, int N, float (&v)[kRun]) {
  if constexpr (kVector && kRun == 4) {
    const float4 more = n < N ? load4(row + n) : make_float4(0, 0, 0, 0);
    v[0] += more.x, v[1] += more.y, v[2] += more.z, v[3] += more.w;
  } else if constexpr (kVector && kRun == 2) {
    const float2 more = n < N ? load2(row + n) : make_float2(0, 0);
    v[0] += more.x, v[1] += more.y;
  } else {
#pragma unroll
    for (int i = 0; i < kRun; ++i) v[i] += n + i < N ? row[n + i] : 0.0f;
  }
}

struct ProductArgs {
  Operand a, b;       // both outer extents: M and N
  const float* bias;  // (N) or null
  float* c;           // (M, N)
  float* partial;     // (chunks, M, N): the chunks' sums go here instead; null: c
  int K;
  int chunk;    // K is summed in chunks of so many, and their sums are added one after the other
  int tiles_n;  // tiles along N
  bool relu;
};

// C = relu(A B + bias). A block makes one tile of C, with its neighbours along N at the same time on the GPU: they read
// the same rows of A. blockIdx.y: the chunk, when `partial` is given. Else a block keeps the sum of the chunks so far
// in C, so that the bits are the same either way: a small batch, which has few tiles, is spread over chunks.
template <class Tile, Major kMajorB, bool kMaskA, bool kVector>
__global__ __launch_bounds__(Tile::kThreads, Tile::kBlocks) void dense_product_kernel(ProductArgs p) {
  using Product = BlockProduct<Tile, Major::kK, kMajorB, kMaskA, false, kVector>;
  const int tile_m = static_cast<int>(blockIdx.x / static_cast<unsigned>(p.tiles_n));
  const int tile_n = static_cast<int>(blockIdx.x % static_cast<unsigned>(p.tiles_n));
  const int64_t M = p.a.outer;
  const int N = static_cast<int>(p.b.outer);
  const int chunks = p.K <= p.chunk ? 1 : (p.K + p.chunk - 1) / p.chunk;
  const bool split = p.partial != nullptr;
  const int first = split ? static_cast<int>(blockIdx.y) : 0, last = split ? first : chunks - 1;
  const auto bound = [&](int s) { return min(s * p.chunk, p.K); };
  const auto store = [&](int s, const typename Tile::Sums& sums) {
    float* const c = split ? p.partial + s * M * N : p.c;
    const int64_t m0 = static_cast<int64_t>(computed_here(tile_m)) * Tile::kM;
    const int n0 = computed_here(tile_n) * Tile::kN;
    Tile::template visit<Major::kK, kMajorB>(sums, [&](int row, int column, const auto& values) {
      constexpr int kRun = Tile::template kRun<kMajorB>;
      const int n = n0 + column;
      if (m0 + row >= M) return;
      float* const to = c + (m0 + row) * N;
      float v[kRun];
#pragma unroll
      for (int i = 0; i < kRun; ++i) v[i] = values[i];
      if (s > first) add_run<kVector>(to, n, N, v);
      if (s == last && !split) {
        if (p.bias != nullptr) add_run<kVector>(p.bias, n, N, v);
#pragma unroll
        for (int i = 0; i < kRun; ++i) v[i] = p.relu && v[i] < 0 ? 0.0f : v[i];
      }
      store_run<kVector>(to, n, N, v);
    });
  };
  Product::run(
      p.a, p.b, tile_m, tile_n, first, last + 1, bound, [](const float*) {}, store);
}

// c = relu(sum of the chunks' partial products + bias), in the order of the kernel above. One thread per element.
__global__ void dense_chunk_sum_kernel(ProductArgs p, int chunks) {
  const int64_t M = p.a.outer, N = p.b.outer;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= M * N) return;
  float sum = p.partial[i];
  for (int s = 1; s < chunks; ++s) sum += p.partial[s * M * N + i];
  if (p.bias != nullptr) sum += p.bias[i % N];
  p.c[i] = p.relu && sum < 0 ? 0.0f : sum;
}

constexpr int kGroupLevels = 3;  // a block adds at most 2^3 slices
constexpr int kMaxSlices = 256;  // of a subtree

// Where slices of a subtree begin: examples [at[s], at[s + 1]).
struct SliceOffsets {
  int32_t at[kMaxSlices + 1];
};

struct FilterArgs {
  Operand x, grad;  // (N, I) and (N, O), the latter masked by y
  float* grad_w;    // group g's sum (I, O) at grad_w + g * stride_w
  float* grad_b;    // (O)
  int64_t stride_w, stride_b;
  int group;    // slices that a block adds along the tree, a power of two
  int tiles_n;  // tiles along O
};

// Adds the sums of a thread along a tree of slices, as TreeSum does. Waiting sums lie in shared memory, behind the
// tiles: registers have no room for them. Each thread sees its own only. kCount * blockDim.x floats a level.
template <class Sums>
struct SharedTreeSum {
  float* waiting;

  __device__ __forceinline__ float& slot(int level, int i) const {
    return waiting[(level * Sums::kCount + i) * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)];
  }
  // `sums` belongs to slice `at` of `slices` and becomes the sum of the largest subtree that ends with it.
  __device__ __forceinline__ void push(int at, int slices, Sums& sums) const {
    int level = 0;
    for (; ((at >> level) & 1) != 0; ++level) {
#pragma unroll
      for (int i = 0; i < Sums::kCount; ++i) sums.at(i) = slot(level, i) + sums.at(i);
    }
    if (at + 1 == slices) return;
#pragma unroll
    for (int i = 0; i < Sums::kCount; ++i) slot(level, i) = sums.at(i);
  }
};

// grad_w = x^T grad and grad_b = column sums of grad, for each group of slices (blockIdx.y). A block makes one tile of
// grad_w: slice after slice, added along the tree, so that nothing but the result is written. Blocks of the first row
// of tiles also sum their columns of grad. Shared: the tiles, and for each level of the tree a float per sum.
//
// kTree: there is more than one slice in a group.
template <class Tile, bool kTree, bool kVector>
struct FilterKernel {
  using Product = BlockProduct<Tile, Major::kOuter, Major::kOuter, false, true, kVector>;
  static constexpr int shared_bytes(int levels) {
    return Product::kSharedBytes + levels * Tile::Sums::kCount * Tile::kThreads * static_cast<int>(sizeof(float));
  }
};
template <class Tile, bool kTree, bool kVector>
__global__ __launch_bounds__(Tile::kThreads,
                             Tile::kBlocks) void dense_filter_kernel(FilterArgs p,
                                                                     __grid_constant__ const SliceOffsets offsets) {
  using Product = typename FilterKernel<Tile, kTree, kVector>::Product;
  static_assert(Tile::kThreads >= Tile::kN);
  const int tile_m = static_cast<int>(blockIdx.x / static_cast<unsigned>(p.tiles_n));
  const int tile_n = static_cast<int>(blockIdx.x % static_cast<unsigned>(p.tiles_n));
  const int t = static_cast<int>(threadIdx.x);
  const int g = static_cast<int>(blockIdx.y), first = g * p.group, end = first + p.group;
  const bool sums_columns = tile_m == 0 && t < Tile::kN;
  DYNAMIC_SHARED(float, shared);
  const SharedTreeSum<typename Tile::Sums> tree_w{shared + Product::kSharedBytes / sizeof(float)};
  TreeSum<float, kGroupLevels> tree_b;
  float column = 0;

  const auto add_columns = [&](const float* tile) {
    if (!sums_columns) return;
#pragma unroll
    for (int k = 0; k < Tile::kDepth; ++k) column += tile[Product::LayoutB::at(t, k)];
  };
  const auto end_slice = [&](int s, typename Tile::Sums& sums) {
    if constexpr (kTree) {
      tree_w.push(s - first, p.group, sums);
      tree_b.push(s - first, 0, column);
    }
    if (!kTree || s + 1 == end) {
      const int I = static_cast<int>(p.x.outer), O = static_cast<int>(p.grad.outer);
      const int m = computed_here(tile_m) * Tile::kM, n = computed_here(tile_n) * Tile::kN;
      float* const c = p.grad_w + g * p.stride_w;
      Tile::template visit<Major::kOuter, Major::kOuter>(sums, [&](int row, int col, const auto& values) {
        if (m + row < I) store_run<kVector>(c + static_cast<int64_t>(m + row) * O, n + col, O, values);
      });
      if (sums_columns && n + t < O) p.grad_b[g * p.stride_b + n + t] = column;
    }
    column = 0;
  };
  Product::run(
      p.x, p.grad, tile_m, tile_n, first, end, [&](int s) { return static_cast<int>(offsets.at[s]); }, add_columns,
      end_slice);
}

}  // namespace lockstep::cuda
