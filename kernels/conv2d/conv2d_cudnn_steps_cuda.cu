// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/conv2d_cudnn_steps.h"
#include "kernels/conv2d/conv2d_source.cuh"
#include "kernels/conv2d/conv2d_store.cuh"
#include "kernels/conv2d/conv2d_tile.h"
#include "kernels/launch.h"
#include "kernels/tree_sum_cuda.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 32, kTileRows = 8;

dim3 grid_of(int64_t x, int64_t y = 1) { return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y)); }

// A block of 32 x 8 threads moves a tile of 32 x 32 through shared memory (4.2 KB, one word of padding a row, so that
// neither direction has bank conflicts): whole sectors are read and written.
__global__ void transpose_kernel(const float* from, int64_t rows, int64_t columns, float* to) {
  SHARED(float, tile, kTile*(kTile + 1));
  const auto tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * kTile, column0 = static_cast<int64_t>(blockIdx.y) * kTile;
  for (int i = ty; i < kTile; i += kTileRows) {
    if (row0 + i < rows && column0 + tx < columns) {
      tile[i * (kTile + 1) + tx] = from[(row0 + i) * columns + column0 + tx];
    }
  }
  __syncthreads();  // a column of the tile was written by many threads
  for (int i = ty; i < kTile; i += kTileRows) {
    if (column0 + i < columns && row0 + tx < rows) {
      to[(column0 + i) * rows + row0 + tx] = tile[tx * (kTile + 1) + i];
    }
  }
}

// One element a thread. Memory bound: reads and writes y once; b stays in the L1 cache.
__global__ void add_bias_kernel(int64_t count, int K, const float* b, bool relu, float* y) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) y[i] = biased(y[i], b[i % K], relu);
}
// Four; K is a multiple of 4, b and y are aligned.
__global__ void add_bias_vector_kernel(int64_t count, int K, const float* b, bool relu, float* y) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  if (i < count) store4(y + i, biased(load4(y + i), load4_readonly(b + i % K), relu));
}

__global__ void mask_by_relu_kernel(int64_t count, const float* y, const float* grad, float* masked) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) masked[i] = behind_relu(grad[i], y[i]);
}
__global__ void mask_by_relu_vector_kernel(int64_t count, const float* y, const float* grad, float* masked) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  if (i + 4 <= count) {
    store4(masked + i, behind_relu(load4_readonly(grad + i), load4_readonly(y + i)));
    return;
  }
  for (int64_t rest = i; rest < count; ++rest) masked[rest] = behind_relu(grad[rest], y[rest]);
}

// ---- The bias gradient: chunks of a slice's examples, then slices.

constexpr int kBiasChunks = 32;  // that a large slice is cut into

// Sums of K columns over the rows of a chunk: partials (slices, slots, K). Block (x, y) has chunk x and 32 columns;
// each of its eight rows of threads adds every eighth row, and the first adds up the eight. Memory bound.
__global__ void bias_chunk_kernel(SliceTable slices, int64_t rows_per_example, int K, const float* grad,
                                  float* partials) {
  SHARED(float, sums, kTileRows* kTile);
  const int slice = static_cast<int>(blockIdx.x) / slices.slots, chunk = static_cast<int>(blockIdx.x) % slices.slots;
  const int64_t first = slices.begin[slice], examples = slices.begin[slice + 1] - first;
  const int64_t size = chunk_examples(examples, slices.chunk_target);
  const int64_t begin = chunk * size < examples ? chunk * size : examples;
  const int64_t end = begin + size < examples ? begin + size : examples;
  const auto tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int k = static_cast<int>(blockIdx.y) * kTile + tx;
  float sum = 0;
  if (k < K) {
    for (int64_t row = (first + begin) * rows_per_example + ty; row < (first + end) * rows_per_example;
         row += kTileRows) {
      sum += grad[row * K + k];
    }
  }
  sums[ty * kTile + tx] = sum;
  __syncthreads();  // the first row of threads reads what all wrote
  if (ty > 0 || k >= K) return;
  for (int i = 1; i < kTileRows; ++i) sum += sums[i * kTile + tx];
  partials[static_cast<int64_t>(blockIdx.x) * K + k] = sum;
}

// partials (slices, slots, K) -> sums (slices, K): chunks in order. One thread a sum.
__global__ void bias_slice_kernel(int slices, int slots, int K, const float* partials, float* sums) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= static_cast<int64_t>(slices) * K) return;
  const float* const chunks = partials + i / K * slots * K + i % K;
  float sum = chunks[0];
  for (int j = 1; j < slots; ++j) sum += chunks[static_cast<int64_t>(j) * K];
  sums[i] = sum;
}

SliceTable table_of(const GradSlices& slices) {
  SliceTable table;
  table.count = slices.slices();
  table.chunk_target = kBiasChunks;
  for (int s = 0; s <= table.count; ++s) table.begin[s] = slices.offsets[static_cast<size_t>(s)] - slices.offsets[0];
  // Chunks behind the last of a small slice are zeros: adding them changes no bit of a sum that is not zero.
  table.slots = kBiasChunks;
  return table;
}

}  // namespace

absl::Status transpose(const DeviceContext& device, const float* from, int64_t rows, int64_t columns, float* to) {
  const LaunchDims dims{grid_of(ceil_div(rows, kTile), ceil_div(columns, kTile)), dim3(kTile, kTileRows)};
  return launch(transpose_kernel, dims, device.stream, from, rows, columns, to);
}

absl::Status add_bias(const DeviceContext& device, int64_t rows, int K, const float* b, bool relu, float* y) {
  const bool vector = K % 4 == 0 && is_aligned<16>(b) && is_aligned<16>(y);
  const LaunchDims dims{grid_of(ceil_div(rows * K, kThreads * (vector ? 4 : 1))), dim3(kThreads)};
  return launch(vector ? add_bias_vector_kernel : add_bias_kernel, dims, device.stream, rows * K, K, b, relu, y);
}

absl::Status mask_by_relu(const DeviceContext& device, int64_t count, const float* y, const float* grad,
                          float* masked) {
  const bool vector = is_aligned<16>(y) && is_aligned<16>(grad) && is_aligned<16>(masked);
  const LaunchDims dims{grid_of(ceil_div(count, kThreads * (vector ? 4 : 1))), dim3(kThreads)};
  return launch(vector ? mask_by_relu_vector_kernel : mask_by_relu_kernel, dims, device.stream, count, y, grad, masked);
}

int64_t bias_gradient_scratch(const GradSlices& slices, int K) {
  return int64_t{slices.slices()} * (kBiasChunks + 1) * K;
}

absl::Status bias_gradient(const KernelContext& ctx, const GradSlices& slices, int64_t rows_per_example, int K,
                           const float* grad, float* scratch, GradOutput grad_b) {
  const SliceTable table = table_of(slices);
  float* const sums = scratch + int64_t{table.count} * table.slots * K;
  const LaunchDims chunks{grid_of(int64_t{table.count} * table.slots, ceil_div(K, kTile)), dim3(kTile, kTileRows)};
  LOCKSTEP_RETURN_IF_ERROR(
      launch(bias_chunk_kernel, chunks, ctx.device->stream, table, rows_per_example, K, grad, scratch));
  const LaunchDims each{grid_of(ceil_div(int64_t{table.count} * K, kThreads)), dim3(kThreads)};
  LOCKSTEP_RETURN_IF_ERROR(
      launch(bias_slice_kernel, each, ctx.device->stream, table.count, table.slots, K, scratch, sums));
  return sum_slices(ctx, slices, {sums, K}, K, grad_b);
}

}  // namespace lockstep::cuda
