// SPDX-License-Identifier: Apache-2.0
// Kernels that use what device code may use, one piece each, for tests against plain arithmetic. Pointers are device
// memory.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/device.h"
#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/grad_slices.h"

namespace lockstep::sound {

// c (16 x 8) = a (16 x K) * b (K x 8) by one tensor-core instruction: K = 8 in TF32, K = 16 in bfloat16.
absl::Status multiply_tf32(DeviceStream stream, const float* a, const float* b, float* c);
absl::Status multiply_bf16(DeviceStream stream, const float* a, const float* b, float* c);
// Each lane's registers of four 8 x 8 matrices of 16-bit elements: (32 lanes, 4).
absl::Status load_matrices(DeviceStream stream, const uint16_t* matrices, bool transposed, uint32_t* registers);
// What 64 lanes get from __shfl_sync, _up, _down and _xor with `argument` and `width`: (4, 64).
absl::Status shuffles(DeviceStream stream, int argument, int width, int* y);
// __ballot, __any, __all and __syncthreads_count, _and, _or of x[t] over 64 threads: (6, 64).
absl::Status votes(DeviceStream stream, const int* x, int* y);
// Sum and maximum over a block of `threads`, by every thread: (2, threads).
absl::Status reductions(DeviceStream stream, const float* x, unsigned threads, float* y);
// y[i] = the global number of block i / 32 and thread i % 32 of a three-dimensional grid of 2 x 3 x 2 blocks of
// 4 x 2 x 4 threads.
absl::Status numbers(DeviceStream stream, int* y);
// x[i] += value, for 64 blocks of 32.
absl::Status add(DeviceStream stream, float* x, float value);
// One atomic addition of 1 by each of 96 threads.
absl::Status count(DeviceStream stream, unsigned* x);

// The library's own, on sizes that its operators do not come with.
// c (M, N) = a (M, K) b (K, N), K in chunks of `chunk`, as the dense layers do it; `partial` (chunks, M, N) gets the
// chunks' sums instead, unless it is null. N, K and chunk are multiples of 4.
absl::Status product_in_chunks(DeviceStream stream, const float* a, const float* b, int M, int N, int K, int chunk,
                               float* c, float* partial);
// cuda::sum_slices of `size` floats of each slice, `stride` apart; one partial sum per subtree.
absl::Status sum_slices(const KernelContext& ctx, const std::vector<int>& subtrees, const float* slices, int64_t stride,
                        int64_t size, GradOutput out);

// Host code that is compiled as kernels are.
void touch_host(float* x);

}  // namespace lockstep::sound
