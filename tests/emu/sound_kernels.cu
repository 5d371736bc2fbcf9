// SPDX-License-Identifier: Apache-2.0
#include "tests/emu/sound_kernels.h"

#include "kernels/dense/dense_kernels.cuh"
#include "kernels/dense/gemm_fp32.cuh"
#include "kernels/launch.h"
#include "kernels/mma.cuh"
#include "kernels/reduce.cuh"
#include "kernels/tree_sum_cuda.h"
#include "kernels/vec.cuh"

namespace lockstep::sound {
namespace {

__device__ void store_products(const float (&d)[4], float* c) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  store2(c + g * 8 + 2 * t, make_float2(d[0], d[1]));
  store2(c + (g + 8) * 8 + 2 * t, make_float2(d[2], d[3]));
}

__global__ void multiply_tf32_kernel(const float* a, const float* b, float* c) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const uint32_t fa[4] = {to_tf32(a[g * 8 + t]), to_tf32(a[(g + 8) * 8 + t]), to_tf32(a[g * 8 + t + 4]),
                          to_tf32(a[(g + 8) * 8 + t + 4])};
  const uint32_t fb[2] = {to_tf32(b[t * 8 + g]), to_tf32(b[(t + 4) * 8 + g])};
  float d[4] = {0, 0, 0, 0};
  mma_m16n8k8_tf32(d, fa, fb);
  store_products(d, c);
}

__global__ void multiply_bf16_kernel(const float* a, const float* b, float* c) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const auto pair_of_a = [&](int row, int k) { return pack_bf16(a[row * 16 + k], a[row * 16 + k + 1]); };
  const auto pair_of_b = [&](int k) { return pack_bf16(b[k * 8 + g], b[(k + 1) * 8 + g]); };
  const uint32_t fa[4] = {pair_of_a(g, 2 * t), pair_of_a(g + 8, 2 * t), pair_of_a(g, 2 * t + 8),
                          pair_of_a(g + 8, 2 * t + 8)};
  const uint32_t fb[2] = {pair_of_b(2 * t), pair_of_b(2 * t + 8)};
  float d[4] = {0, 0, 0, 0};
  mma_m16n8k16_bf16(d, fa, fb);
  store_products(d, c);
}

__global__ void load_matrices_kernel(const uint16_t* matrices, bool transposed, uint32_t* registers) {
  SHARED(uint16_t, tile, 4 * 64);
  const unsigned t = threadIdx.x;
  for (unsigned i = t; i < 4 * 64; i += 32) tile[i] = matrices[i];
  __syncwarp();
  uint32_t r[4];
  if (transposed) {
    ldmatrix_x4_trans(r, tile + t * 8);
  } else {
    ldmatrix_x4(r, tile + t * 8);
  }
  for (unsigned i = 0; i < 4; ++i) registers[t * 4 + i] = r[i];
}

__global__ void shuffles_kernel(int argument, int width, int* y) {
  const unsigned t = threadIdx.x;
  const int value = static_cast<int>(t);
  y[t] = __shfl_sync(kFullMask, value, argument, width);
  y[64 + t] = __shfl_up_sync(kFullMask, value, static_cast<unsigned>(argument), width);
  y[128 + t] = __shfl_down_sync(kFullMask, value, static_cast<unsigned>(argument), width);
  y[192 + t] = __shfl_xor_sync(kFullMask, value, argument, width);
}

__global__ void votes_kernel(const int* x, int* y) {
  const unsigned t = threadIdx.x;
  y[t] = static_cast<int>(__ballot_sync(kFullMask, x[t]));
  y[64 + t] = __any_sync(kFullMask, x[t]) != 0;
  y[128 + t] = __all_sync(kFullMask, x[t]) != 0;
  y[192 + t] = __syncthreads_count(x[t]);
  y[256 + t] = __syncthreads_and(x[t]) != 0;
  y[320 + t] = __syncthreads_or(x[t]) != 0;
}

__global__ void reductions_kernel(const float* x, float* y) {
  SHARED(float, scratch, 32);
  const unsigned t = threadIdx.x;
  const float value = x[t];
  y[t] = block_sum(value, scratch);
  y[blockDim.x + t] = block_reduce(value, -INFINITY, Max{}, scratch);
}

__global__ void numbers_kernel(int* y) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
  y[i] = static_cast<int>(i);
}

__global__ void add_kernel(float* x, float value) { x[blockIdx.x * blockDim.x + threadIdx.x] += value; }

__global__ void count_kernel(unsigned* x) { atomicAdd(x, 1u); }

const LaunchDims kWarpOnly{dim3(1), dim3(32)}, kTwoWarps{dim3(1), dim3(64)};

}  // namespace

absl::Status multiply_tf32(DeviceStream stream, const float* a, const float* b, float* c) {
  return launch(multiply_tf32_kernel, kWarpOnly, stream, a, b, c);
}
absl::Status multiply_bf16(DeviceStream stream, const float* a, const float* b, float* c) {
  return launch(multiply_bf16_kernel, kWarpOnly, stream, a, b, c);
}
absl::Status load_matrices(DeviceStream stream, const uint16_t* matrices, bool transposed, uint32_t* registers) {
  return launch(load_matrices_kernel, kWarpOnly, stream, matrices, transposed, registers);
}
absl::Status shuffles(DeviceStream stream, int argument, int width, int* y) {
  return launch(shuffles_kernel, kTwoWarps, stream, argument, width, y);
}
absl::Status votes(DeviceStream stream, const int* x, int* y) { return launch(votes_kernel, kTwoWarps, stream, x, y); }
absl::Status reductions(DeviceStream stream, const float* x, unsigned threads, float* y) {
  return launch(reductions_kernel, LaunchDims{dim3(1), dim3(threads)}, stream, x, y);
}
absl::Status numbers(DeviceStream stream, int* y) {
  return launch(numbers_kernel, LaunchDims{dim3(2, 3, 2), dim3(4, 2, 4)}, stream, y);
}
absl::Status add(DeviceStream stream, float* x, float value) {
  return launch(add_kernel, LaunchDims{dim3(64), dim3(32)}, stream, x, value);
}
absl::Status product_in_chunks(DeviceStream stream, const float* a, const float* b, int M, int N, int K, int chunk,
                               float* c, float* partial) {
  using cuda::Major;
  using Tile = cuda::Fp32Tile<4, 4, 2, 2, 32, 4>;
  const auto tiles_n = static_cast<int>(ceil_div(N, Tile::kN));
  const cuda::ProductArgs args{.a = {a, nullptr, K, M},
                               .b = {b, nullptr, N, N},
                               .bias = nullptr,
                               .c = c,
                               .partial = partial,
                               .K = K,
                               .chunk = chunk,
                               .tiles_n = tiles_n,
                               .relu = false};
  const int64_t tiles = ceil_div(M, Tile::kM) * tiles_n, chunks = partial == nullptr ? 1 : ceil_div(K, chunk);
  const LaunchDims dims{dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(chunks)), dim3(Tile::kThreads),
                        cuda::BlockProduct<Tile, Major::kK, Major::kOuter, false, false, true>::kSharedBytes};
  return launch(cuda::dense_product_kernel<Tile, Major::kOuter, false, true>, dims, stream, args);
}
absl::Status sum_slices(const KernelContext& ctx, const std::vector<int>& subtrees, const float* slices, int64_t stride,
                        int64_t size, GradOutput out) {
  GradSlices tree;
  tree.subtrees = subtrees;
  return cuda::sum_slices(ctx, tree, {slices, stride}, size, out);
}
void touch_host(float* x) {
  volatile float* const p = x;
  for (int i = 0; i < 1000; ++i) *p = *p + 1;
}
absl::Status count(DeviceStream stream, unsigned* x) {
  return launch(count_kernel, LaunchDims{dim3(3), dim3(32)}, stream, x);
}

}  // namespace lockstep::sound
