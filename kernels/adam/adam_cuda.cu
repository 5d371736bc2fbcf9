// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/adam/adam_impl.h"
#include "kernels/launch.h"
#include "kernels/tree_sum_cuda.cuh"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

// The terms of the gradient, by value: pointers in the kernel's parameters cost no load that the sum must wait for.
template <int kTerms>
struct Terms {
  const float* data[kTerms];
  uint8_t level[kTerms];  // the term sums 2^level slices
  int count;
};

struct AdamArgs {
  float one_minus_beta1, one_minus_beta2, epsilon;
  float rate;  // unless the step's scalars are in device memory
};

// In the order of operations of the CPU: the same bits.
__host__ __device__ inline float corrected_rate(float learning_rate, float beta1_power, float beta2_power) {
  return learning_rate * sqrtf(1.0f - beta2_power) / (1.0f - beta1_power);
}

__device__ __forceinline__ void adam(const AdamArgs& p, float rate, float g, float& m, float& v, float& w) {
  m = fmaf(g - m, p.one_minus_beta1, m);
  v = fmaf(g * g - v, p.one_minus_beta2, v);
  w -= m * rate / (sqrtf(v) + p.epsilon);
}

template <typename T, int kTerms, int kLevels>
__device__ __forceinline__ T gradient(const Terms<kTerms>& terms, int64_t i) {
  T sum = *reinterpret_cast<const T*>(terms.data[0] + i);
  if constexpr (kTerms == 1) return sum;
  TreeSum<T, kLevels> tree;
  tree.push(0, terms.level[0], sum);
  int at = 1 << terms.level[0];
  constexpr int kUnroll = kTerms <= 8 ? kTerms : 1;  // an index that is not constant moves few terms to local memory
#pragma unroll kUnroll
  for (int term = 1; term < kTerms; ++term) {
    if (term >= terms.count) break;
    sum = *reinterpret_cast<const T*>(terms.data[term] + i);
    tree.push(at, terms.level[term], sum);
    at += 1 << terms.level[term];
  }
  return sum;
}

// One thread updates four elements: those before `head`, where every pointer is aligned to 16 bytes, and those behind
// the last whole four are left to the first threads of the grid. head = count: no vectors. Memory bound: 28 bytes an
// element with one term, 4 more for each further term.
template <int kTerms, int kLevels>
__global__ void adam_kernel(AdamArgs p, const StepScalars* scalars, int64_t count, int64_t head,
                            __grid_constant__ const Terms<kTerms> terms, float* m, float* v, float* w) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const float rate =
      scalars == nullptr ? p.rate : corrected_rate(scalars->learning_rate, scalars->beta1_power, scalars->beta2_power);
  const int64_t vectors = (count - head) / 4;
  if (thread < vectors) {
    const int64_t i = head + 4 * thread;
    const float4 g = gradient<Float4Sum, kTerms, kLevels>(terms, i).v;
    float4 m4 = load4(m + i), v4 = load4(v + i), w4 = load4(w + i);
    adam(p, rate, g.x, m4.x, v4.x, w4.x);
    adam(p, rate, g.y, m4.y, v4.y, w4.y);
    adam(p, rate, g.z, m4.z, v4.z, w4.z);
    adam(p, rate, g.w, m4.w, v4.w, w4.w);
    store4(m + i, m4);
    store4(v + i, v4);
    store4(w + i, w4);
  }
  const int64_t singles = count - 4 * vectors;
  if (thread < singles) {
    const int64_t i = thread < head ? thread : thread + 4 * vectors;
    adam(p, rate, gradient<float, kTerms, kLevels>(terms, i), m[i], v[i], w[i]);
  }
}

// Elements before the first at which all pointers are aligned to 16 bytes; `count` when there is none.
int64_t elements_to_alignment(std::span<const GradTerm> terms, const float* m, const float* v, const float* w,
                              int64_t count) {
  for (int64_t head = 0; head < 4 && head < count; ++head) {
    const auto aligned = [&](const float* p) { return is_aligned<16>(p + head); };
    if (aligned(m) && aligned(v) && aligned(w) &&
        std::all_of(terms.begin(), terms.end(), [&](const GradTerm& term) { return aligned(term.data); })) {
      return head;
    }
  }
  return count;
}

template <int kTerms, int kLevels>
absl::Status update(const KernelContext& ctx, const AdamArgs& args, int64_t count, std::span<const GradTerm> from,
                    float* m, float* v, float* w) {
  Terms<kTerms> terms{};
  terms.count = static_cast<int>(from.size());
  for (size_t i = 0; i < from.size(); ++i) {
    terms.data[i] = from[i].data;
    terms.level[i] = static_cast<uint8_t>(log2_of(from[i].slices));
  }
  const int64_t head = elements_to_alignment(from, m, v, w, count);
  const int64_t threads = std::max((count - head) / 4, count - (count - head) / 4 * 4);
  const LaunchDims dims{dim3(static_cast<unsigned>(ceil_div(threads, kThreads))), dim3(kThreads)};
  return launch(adam_kernel<kTerms, kLevels>, dims, ctx.device->stream, args, ctx.device->step_scalars, count, head,
                terms, m, v, w);
}

}  // namespace

absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w) {
  const AdamArgs args{.one_minus_beta1 = 1.0f - p.beta1,
                      .one_minus_beta2 = 1.0f - p.beta2,
                      .epsilon = p.epsilon,
                      .rate = corrected_rate(p.learning_rate, p.beta1_power, p.beta2_power)};
  int slices = 0;
  for (const GradTerm& term : terms) slices += term.slices;
  if (terms.size() == 1) return update<1, 0>(ctx, args, count, terms, m, v, w);
  if (terms.size() <= 8 && slices <= 8) return update<8, 3>(ctx, args, count, terms, m, v, w);
  if (slices <= 256) return update<256, 8>(ctx, args, count, terms, m, v, w);
  return absl::UnimplementedError("adam_update: more than 256 gradient slices on a GPU");
}

}  // namespace lockstep::cuda
