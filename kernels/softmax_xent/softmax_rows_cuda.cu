// SPDX-License-Identifier: Apache-2.0
#include "kernels/launch.h"
#include "kernels/reduce.cuh"
#include "kernels/softmax_xent/softmax_rows.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ int64_t row_of_warp() {
  return (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarpSize;
}
LaunchDims warp_a_row(int64_t N) {
  return {dim3(static_cast<unsigned>(ceil_div(N, kThreads / kWarpSize))), dim3(kThreads)};
}

// A warp per row. x - x is 0, or NaN where x is not finite, and so is the sum of a row.
__global__ void spoil_rows_kernel(int64_t N, int C, const float* logits, float* to) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int64_t row = row_of_warp();
  if (row >= N) return;  // the whole warp
  float sum = 0;
  for (int c = lane; c < C; c += kWarpSize) sum += logits[row * C + c] - logits[row * C + c];
  sum = warp_sum(sum);
  if (sum == 0) return;
  for (int c = lane; c < C; c += kWarpSize) to[row * C + c] = sum;
}

// A warp per row. The outputs may lie over log_p: a lane overwrites what it alone has read, once all have read the
// label's element.
__global__ void finish_softmax_kernel(SoftmaxXentParams p, const float* log_p, const int32_t* labels, float* loss,
                                      float* probabilities, float* grad_logits) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int64_t row = row_of_warp();
  if (row >= p.N) return;  // the whole warp
  const int label = labels != nullptr ? labels[row] : -1;
  const bool valid = label >= 0 && label < p.C;
  if (loss != nullptr && lane == 0) loss[row] = valid ? -log_p[row * p.C + label] : nanf("");
  __syncwarp();  // before another lane overwrites what the first one read
  for (int c = lane; c < p.C; c += kWarpSize) {
    const int64_t i = row * p.C + c;
    const float probability = expf(log_p[i]);
    if (probabilities != nullptr) probabilities[i] = probability;
    if (grad_logits != nullptr) grad_logits[i] = (probability - (c == label ? 1.0f : 0.0f)) * p.grad_scale;
  }
}

}  // namespace

absl::Status spoil_rows(const DeviceContext& device, int64_t N, int C, const float* logits, float* to) {
  return launch(spoil_rows_kernel, warp_a_row(N), device.stream, N, C, logits, to);
}

absl::Status finish_softmax_xent(const DeviceContext& device, const SoftmaxXentParams& p, const float* log_p,
                                 const int32_t* labels, float* loss, float* probabilities, float* grad_logits) {
  return launch(finish_softmax_kernel, warp_a_row(p.N), device.stream, p, log_p, labels, loss, probabilities,
                grad_logits);
}

}  // namespace lockstep::cuda
