// SPDX-License-Identifier: Apache-2.0
#include "tests/emu/broken_kernels.h"

#include "kernels/launch.h"
#include "kernels/mma.cuh"
#include "kernels/vec.cuh"

namespace lockstep::broken {
namespace {

constexpr unsigned kThreads = 64;
const LaunchDims kOneBlock{dim3(1), dim3(kThreads)};

__global__ void write_past_end_kernel(float* x, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i <= n) x[i] = 1;
}

__global__ void read_past_end_kernel(const float* x, float* y, int n) {
  const int i = static_cast<int>(threadIdx.x);
  if (i <= n) y[i] = x[i];
}

__global__ void write_in_front_kernel(float* x) { x[static_cast<int>(threadIdx.x) - 1] = 1; }

__global__ void write_pointer_kernel(float* x) {
  if (threadIdx.x == 3) *x = 1;
}

__global__ void read_pointer_kernel(const float* x, float* y) {
  if (threadIdx.x == 3) *y = *x;
}

__global__ void write_past_shared_kernel() {
  SHARED(float, tile, 40);
  SHARED(float, other, 40);
  float* const p = tile;  // else the compiler sees the mistake
  if (threadIdx.x <= 40) p[threadIdx.x] = 1;
  if (threadIdx.x < 40) other[threadIdx.x] = 1;
}

__global__ void write_past_dynamic_shared_kernel() {
  DYNAMIC_SHARED(float, tile);
  if (threadIdx.x <= 40) tile[threadIdx.x] = 1;
}

__global__ void misaligned_store_kernel(float* x) {
  if (threadIdx.x == 2) store4(x + 1, make_float4(1, 2, 3, 4));
}

__global__ void misaligned_load_kernel(const float* x, float* y) {
  if (threadIdx.x == 2) *y = load4(x + 1).x;
}

__global__ void misaligned_copy_kernel(const float* x, float* y) {
  SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  if (i == 2) cp_async<16>(tile, x + 1);
  cp_async_commit();
  cp_async_wait<0>();
  if (i == 2) *y = tile[0];
}

__global__ void unwritten_shared_kernel(float* y) {
  SHARED(float, tile, kThreads);
  const unsigned t = threadIdx.x;
  if (t != 7) tile[t] = 1;
  __syncthreads();
  if (t != 0) return;
  float sum = 0;
  for (unsigned i = 0; i < kThreads; ++i) sum += tile[i];
  *y = sum;
}

__global__ void missing_barrier_kernel(float* y) {
  SHARED(float, tile, kThreads);
  const unsigned t = threadIdx.x;
  tile[t] = static_cast<float>(t);
  y[t] = tile[(t + 1) % kThreads];
}

// Rounds within a warp only.
__global__ void neighbours_kernel(float* y, bool sound) {
  SHARED(float, tile, kThreads);
  const unsigned t = threadIdx.x, neighbour = t / 32 * 32 + (t + 1) % 32;
  tile[t] = static_cast<float>(t);
  __syncthreads();
  for (int round = 0; round < 3; ++round) {
    const float value = tile[neighbour];
    __syncwarp();
    tile[t] = value;
    if (sound) __syncwarp();
  }
  y[t] = tile[t];
}

__global__ void missing_barrier_before_reuse_kernel(float* y) {
  SHARED(float, tile, kThreads);
  const unsigned t = threadIdx.x;
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    tile[t] = static_cast<float>(round);
    __syncthreads();
    for (unsigned i = 0; i < kThreads; ++i) sum += tile[i];
  }
  y[t] = sum;
}

__global__ void race_in_global_kernel(float* y) { y[threadIdx.x / 2] = static_cast<float>(threadIdx.x); }
__global__ void race_of_blocks_kernel(float* y) {
  if (threadIdx.x == 0) y[0] = static_cast<float>(blockIdx.x);
}
__global__ void race_in_bytes_kernel(uint8_t* y, float* sink, bool reads) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  uint8_t* const byte = y + i % 2;
  if (reads && i < 2) {
    sink[i] = *byte;
  } else {
    *byte = 1;
  }
}
__global__ void race_in_byte_read_before_kernel(uint8_t* y, float* sink) {
  if (threadIdx.x == 0) {
    const uint8_t first = y[0];
    sink[0] = first + y[1];
  } else {
    y[0] = 1;
  }
}
__global__ void byte_turns_kernel(uint32_t* y) {
  SHARED(uint32_t, words, 16);
  const unsigned t = threadIdx.x;
  uint8_t* const byte = reinterpret_cast<uint8_t*>(words) + t % 32 * 2 + t / 32;
  for (unsigned round = 0; round < 2; ++round) {
    *byte = static_cast<uint8_t>(t);
    __syncwarp();
    *byte = static_cast<uint8_t>(*byte + 1);
    __syncthreads();
    if (t < 16) words[t] += 0x01010101;
    __syncthreads();
    if (t < 16) y[t] = words[t];
    __syncthreads();
  }
}
__global__ void bytes_kernel(uint8_t* y) {
  SHARED(uint8_t, bytes, kThreads);
  const unsigned t = threadIdx.x;
  bytes[t] = static_cast<uint8_t>(t);
  y[blockIdx.x * blockDim.x + t] = bytes[t];
}

__global__ void barrier_after_exit_kernel() {
  if (threadIdx.x == 5) return;
  __syncthreads();
}

__global__ void barriers_at_two_places_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void shuffle_in_branch_kernel(float* y) {
  float value = 1;
  if (threadIdx.x < 16) value += __shfl_xor_sync(0xffffffffu, value, 1);
  y[threadIdx.x] = value;
}

__global__ void local_index_kernel(const int* index, float* y) {
  float local[8];
  for (int i = 0; i < 8; ++i) local[i] = static_cast<float>(i);
  if (threadIdx.x == 1) local[*index] = 3;
  float sum = 0;
  for (int i = 0; i < 8; ++i) sum += local[i];
  y[threadIdx.x] = sum;
}

// kWait < 0: never.
template <int kWait>
__global__ void copies_kernel(const float* x, float* y, bool early) {
  constexpr int kRounds = 4;
  SHARED(float, tile, 2 * kThreads);
  const int t = static_cast<int>(threadIdx.x);
  const auto load = [&](int round) {
    if (round < kRounds) cp_async<4>(&tile[(round % 2) * kThreads + t], x + round * static_cast<int>(kThreads) + t);
    cp_async_commit();
  };
  load(0);
  float sum = 0;
  for (int round = 0; round < kRounds; ++round) {
    if (early) load(round + 1);
    if constexpr (kWait >= 0) cp_async_wait<kWait>();
    __syncthreads();
    sum += tile[(round % 2) * kThreads + (t + 1) % kThreads];
    // Without this barrier the next load but one overwrites what others still read.
    if (kWait != 1 || round < 1) __syncthreads();
    if (!early) load(round + 1);
  }
  y[t] = sum;
}

__global__ void dynamic_kernel() {
  DYNAMIC_SHARED(float, x);
  x[threadIdx.x] = 0;
}

}  // namespace

absl::Status write_past_end(DeviceStream stream, float* x, int n) {
  return launch(write_past_end_kernel, LaunchDims{dim3(2), dim3(32)}, stream, x, n);
}
absl::Status read_past_end(DeviceStream stream, const float* x, float* y, int n) {
  return launch(read_past_end_kernel, kOneBlock, stream, x, y, n);
}
absl::Status write_in_front(DeviceStream stream, float* x) {
  return launch(write_in_front_kernel, kOneBlock, stream, x);
}
absl::Status write_null(DeviceStream stream) { return launch(write_pointer_kernel, kOneBlock, stream, nullptr); }
absl::Status read_host(DeviceStream stream, const float* host, float* y) {
  return launch(read_pointer_kernel, kOneBlock, stream, host, y);
}
absl::Status write_past_shared(DeviceStream stream) { return launch(write_past_shared_kernel, kOneBlock, stream); }
absl::Status write_past_dynamic_shared(DeviceStream stream) {
  return launch(write_past_dynamic_shared_kernel, LaunchDims{dim3(1), dim3(kThreads), 40 * sizeof(float)}, stream);
}
absl::Status misaligned_store(DeviceStream stream, float* x) {
  return launch(misaligned_store_kernel, kOneBlock, stream, x);
}
absl::Status misaligned_load(DeviceStream stream, const float* x, float* y) {
  return launch(misaligned_load_kernel, kOneBlock, stream, x, y);
}
absl::Status misaligned_copy(DeviceStream stream, const float* x, float* y) {
  return launch(misaligned_copy_kernel, kOneBlock, stream, x, y);
}
absl::Status read_one(DeviceStream stream, const float* x, float* y) {
  return launch(read_pointer_kernel, kOneBlock, stream, x, y);
}
absl::Status unwritten_shared(DeviceStream stream, float* y) {
  return launch(unwritten_shared_kernel, kOneBlock, stream, y);
}
absl::Status missing_barrier(DeviceStream stream, float* y) {
  return launch(missing_barrier_kernel, kOneBlock, stream, y);
}
absl::Status missing_syncwarp(DeviceStream stream, float* y) {
  return launch(neighbours_kernel, kOneBlock, stream, y, false);
}
absl::Status sound_neighbours(DeviceStream stream, float* y) {
  return launch(neighbours_kernel, kOneBlock, stream, y, true);
}
absl::Status missing_barrier_before_reuse(DeviceStream stream, float* y) {
  return launch(missing_barrier_before_reuse_kernel, kOneBlock, stream, y);
}
absl::Status race_in_global(DeviceStream stream, float* y) {
  return launch(race_in_global_kernel, kOneBlock, stream, y);
}
absl::Status race_of_blocks(DeviceStream stream, float* y) {
  return launch(race_of_blocks_kernel, LaunchDims{dim3(3), dim3(32)}, stream, y);
}
absl::Status race_in_bytes(DeviceStream stream, uint8_t* y, float* sink, bool reads, bool blocks) {
  const LaunchDims dims{dim3(blocks ? 3 : 1), dim3(blocks ? 1 : 3)};
  return launch(race_in_bytes_kernel, dims, stream, y, sink, reads);
}
absl::Status race_in_byte_read_before(DeviceStream stream, uint8_t* y, float* sink) {
  return launch(race_in_byte_read_before_kernel, LaunchDims{dim3(1), dim3(2)}, stream, y, sink);
}
absl::Status sound_byte_turns(DeviceStream stream, uint32_t* y) {
  return launch(byte_turns_kernel, kOneBlock, stream, y);
}
absl::Status sound_bytes(DeviceStream stream, uint8_t* y) {
  return launch(bytes_kernel, LaunchDims{dim3(2), dim3(33)}, stream, y);
}
absl::Status barrier_after_exit(DeviceStream stream) { return launch(barrier_after_exit_kernel, kOneBlock, stream); }
absl::Status barriers_at_two_places(DeviceStream stream) {
  return launch(barriers_at_two_places_kernel, kOneBlock, stream);
}
absl::Status shuffle_in_branch(DeviceStream stream, float* y) {
  return launch(shuffle_in_branch_kernel, kOneBlock, stream, y);
}
absl::Status local_index(DeviceStream stream, const int* index, float* y) {
  return launch(local_index_kernel, kOneBlock, stream, index, y);
}
absl::Status copy_without_wait(DeviceStream stream, const float* x, float* y) {
  return launch(copies_kernel<-1>, kOneBlock, stream, x, y, false);
}
absl::Status copy_waits_too_little(DeviceStream stream, const float* x, float* y) {
  return launch(copies_kernel<2>, kOneBlock, stream, x, y, true);
}
absl::Status sound_copies(DeviceStream stream, const float* x, float* y) {
  return launch(copies_kernel<0>, kOneBlock, stream, x, y, true);
}
absl::Status copy_into_read_buffer(DeviceStream stream, const float* x, float* y) {
  return launch(copies_kernel<1>, kOneBlock, stream, x, y, true);
}
absl::Status too_much_shared(DeviceStream stream, size_t bytes) {
  return launch(dynamic_kernel, LaunchDims{dim3(1), dim3(32), bytes}, stream);
}

}  // namespace lockstep::broken
