// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "kernels/launch.h"
#include "kernels/reduce.cuh"
#include "kernels/softmax_xent/softmax_xent_impl.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

// Null outputs are not written; without a loss there are no labels.
struct SoftmaxArgs {
  int64_t N;
  int C;
  float grad_scale;
  const float* logits;    // (N, C)
  const int32_t* labels;  // (N)
  float* loss;            // (N)
  float* probabilities;   // (N, C), may be the logits
  float* grad_logits;     // (N, C), may be the logits
};

// 0, or NaN where x is not finite: a NaN or infinity anywhere makes the sum of its row NaN, and so all its outputs.
__device__ __forceinline__ float nan_unless_finite(float x) { return x - x; }

__device__ __forceinline__ float row_loss(float sum, float maximum, float label_logit) {
  return logf(sum) + (maximum - label_logit);
}
__device__ __forceinline__ float row_grad(float probability, bool is_label, float scale) {
  return (probability - (is_label ? 1.0f : 0.0f)) * scale;
}
// What a label outside the classes gets, instead of memory that is not ours.
__device__ __forceinline__ float no_logit() { return nanf(""); }

// Up to kLanes classes. A block handles kThreads / kLanes rows, which lie behind each other in memory: it moves them
// through shared memory, so that global accesses are whole sectors although a row is not. In between, kLanes lanes work
// on a row, one class each. Shared: 2.3 KB. Memory bound: reads and writes each element once.
template <int kLanes>
__global__ void softmax_few_classes_kernel(SoftmaxArgs p) {
  constexpr int kRows = kThreads / kLanes;
  SHARED(float, tile, kRows* kLanes);
  SHARED(float, grads, kRows* kLanes);
  SHARED(float, losses, kRows);
  SHARED(int32_t, labels, kRows);
  const int t = static_cast<int>(threadIdx.x), row = t / kLanes, c = t % kLanes;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kRows;
  const int rows = static_cast<int>(p.N - first < kRows ? p.N - first : kRows);
  const int64_t at = first * p.C + t;  // the element that this thread loads and stores
  const bool has_element = t < rows * p.C;
  if (has_element) tile[t] = p.logits[at];
  if (p.labels != nullptr && t < rows) labels[t] = p.labels[first + t];
  __syncthreads();  // every row is complete

  const bool active = row < rows && c < p.C;
  const float logit = active ? tile[row * p.C + c] : -std::numeric_limits<float>::infinity();
  const float maximum = warp_max<kLanes>(logit);
  const float exponential = active ? expf(logit - maximum) + nan_unless_finite(logit) : 0.0f;
  const float sum = warp_sum<kLanes>(exponential);
  const float probability = exponential / sum;
  if (p.labels != nullptr && row < rows) {
    const int label = labels[row];
    const bool valid = label >= 0 && label < p.C;
    if (c == 0) losses[row] = row_loss(sum, maximum, valid ? tile[row * p.C + label] : no_logit());
    if (active) grads[row * p.C + c] = row_grad(probability, c == label, p.grad_scale);
  }
  __syncthreads();  // the loss above read a logit of another thread
  if (active) tile[row * p.C + c] = probability;
  __syncthreads();
  if (has_element && p.probabilities != nullptr) p.probabilities[at] = tile[t];
  if (has_element && p.grad_logits != nullptr) p.grad_logits[at] = grads[t];
  if (p.loss != nullptr && t < rows) p.loss[first + t] = losses[t];
}

// Any number of classes: a warp per row, lanes along the classes, three passes over the row, of which the first reads
// memory and the others, as long as rows are not huge, the L1 cache.
__global__ void softmax_kernel(SoftmaxArgs p) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarpSize;
  if (row >= p.N) return;  // the whole warp
  const float* const logits = p.logits + row * p.C;
  float maximum = -std::numeric_limits<float>::infinity();
  for (int c = lane; c < p.C; c += kWarpSize) maximum = Max{}(maximum, logits[c]);
  maximum = warp_max(maximum);
  float sum = 0;
  for (int c = lane; c < p.C; c += kWarpSize) sum += expf(logits[c] - maximum) + nan_unless_finite(logits[c]);
  sum = warp_sum(sum);
  const int label = p.labels != nullptr ? p.labels[row] : 0;
  if (p.loss != nullptr && lane == 0) {
    const bool valid = label >= 0 && label < p.C;
    p.loss[row] = row_loss(sum, maximum, valid ? logits[label] : no_logit());
  }
  __syncwarp();  // the outputs may be the logits, and lane 0 read one of another lane
  for (int c = lane; c < p.C; c += kWarpSize) {
    const float probability = expf(logits[c] - maximum) / sum;
    if (p.probabilities != nullptr) p.probabilities[row * p.C + c] = probability;
    if (p.grad_logits != nullptr) p.grad_logits[row * p.C + c] = row_grad(probability, c == label, p.grad_scale);
  }
}

absl::Status run(const KernelContext& ctx, const SoftmaxArgs& args) {
  constexpr int kFew = 16;
  const bool few = args.C <= kFew;
  const int64_t blocks = ceil_div(args.N, kThreads / (few ? kFew : kWarpSize));
  const LaunchDims dims{dim3(static_cast<unsigned>(blocks)), dim3(kThreads)};
  return launch(few ? softmax_few_classes_kernel<kFew> : softmax_kernel, dims, ctx.device->stream, args);
}

}  // namespace

absl::Status softmax_xent(const KernelContext& ctx, const SoftmaxXentParams& p, const float* logits,
                          const int32_t* labels, float* loss, float* probabilities, float* grad_logits) {
  return run(ctx, {p.N, p.C, p.grad_scale, logits, labels, loss, probabilities, grad_logits});
}

absl::Status softmax(const KernelContext& ctx, int64_t N, int C, const float* logits, float* probabilities) {
  return run(ctx, {N, C, 0.0f, logits, nullptr, nullptr, probabilities, nullptr});
}

}  // namespace lockstep::cuda
