// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/warp_ops.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/emu/access.h"
#include "kernels/emu/device_functions.h"
#include "kernels/emu/failure.h"
#include "kernels/emu/grid.h"

namespace lockstep::emu {
namespace {

constexpr uint32_t kFull = 0xffffffffu;

// ---- exchange ----

struct Exchange {
  uint64_t value = 0;
  int source = 0;  // the lane whose value this one wants
  uint64_t result = 0;
  bool missing = false;
};

// The lane that lane `lane` reads from; itself where CUDA says so.
int source_of(Shuffle kind, int lane, int argument, int width) {
  const int base = lane / width * width, within = lane - base;
  int source = 0;
  switch (kind) {
    case Shuffle::kIndex:
      return base + ((argument % width) + width) % width;
    case Shuffle::kUp:
      source = within - argument;
      break;
    case Shuffle::kDown:
      source = within + argument;
      break;
    case Shuffle::kXor:
      // May reach into lower groups, but not into higher ones.
      return (lane ^ argument) < base + width ? lane ^ argument : lane;
  }
  return source < 0 || source >= width ? lane : base + source;
}

void exchange(void* const (&lanes)[kWarp], uint32_t) {
  for (void* const lane : lanes) {
    if (lane == nullptr) continue;
    Exchange& mine = *static_cast<Exchange*>(lane);
    const void* const other = lanes[mine.source];
    mine.missing = other == nullptr;
    if (other != nullptr) mine.result = static_cast<const Exchange*>(other)->value;
  }
}

struct Ballot {
  bool predicate = false;
  uint32_t result = 0;
};

void ballot(void* const (&lanes)[kWarp], uint32_t) {
  uint32_t votes = 0;
  for (int i = 0; i < kWarp; ++i) {
    if (lanes[i] != nullptr && static_cast<const Ballot*>(lanes[i])->predicate) votes |= 1u << i;
  }
  for (void* const lane : lanes) {
    if (lane != nullptr) static_cast<Ballot*>(lane)->result = votes;
  }
}

// ---- tensor cores ----

// The registers of one lane.
struct Fragments {
  float* d = nullptr;
  const uint32_t* a = nullptr;
  const uint32_t* b = nullptr;
};

float tf32(uint32_t bits) { return std::bit_cast<float>(bits & ~0x1fffu); }
float bf16(uint32_t pair, int half) { return std::bit_cast<float>(half == 0 ? pair << 16 : pair & 0xffff0000u); }

// d (16x8) += a (16 x K) * b (K x 8), spread over the lanes as mma.cuh says.
template <int K>
void multiply(void* const (&lanes)[kWarp], const double (&a)[16][K], const double (&b)[K][8]) {
  for (int lane = 0; lane < kWarp; ++lane) {
    float* const d = static_cast<const Fragments*>(lanes[lane])->d;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + (i / 2) * 8, column = lane % 4 * 2 + i % 2;
      double sum = d[i];
      for (int k = 0; k < K; ++k) sum += a[row][k] * b[k][column];
      d[i] = static_cast<float>(sum);
    }
  }
}

void multiply_tf32(void* const (&lanes)[kWarp], uint32_t) {
  double a[16][8], b[8][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const Fragments& f = *static_cast<const Fragments*>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = tf32(f.a[i]);
    for (int i = 0; i < 2; ++i) b[t + i * 4][g] = tf32(f.b[i]);
  }
  multiply<8>(lanes, a, b);
}

void multiply_bf16(void* const (&lanes)[kWarp], uint32_t) {
  double a[16][16], b[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const Fragments& f = *static_cast<const Fragments*>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][2 * t + half + i / 2 * 8] = bf16(f.a[i], half);
      for (int i = 0; i < 2; ++i) b[2 * t + half + i * 8][g] = bf16(f.b[i], half);
    }
  }
  multiply<16>(lanes, a, b);
}

// ---- ldmatrix ----

struct MatrixLoad {
  uint32_t* registers = nullptr;
  int matrices = 0;
  const unsigned char* row = nullptr;
  bool transposed = false;
};

uint32_t element(void* const (&lanes)[kWarp], int matrix, int row, int column) {
  uint16_t value = 0;
  std::memcpy(&value, static_cast<const MatrixLoad*>(lanes[matrix * 8 + row])->row + 2 * column, sizeof value);
  return value;
}

void load_matrices(void* const (&lanes)[kWarp], uint32_t) {
  for (int lane = 0; lane < kWarp; ++lane) {
    const MatrixLoad& load = *static_cast<const MatrixLoad*>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < load.matrices; ++i) {
      const uint32_t low = load.transposed ? element(lanes, i, 2 * t, g) : element(lanes, i, g, 2 * t);
      const uint32_t high = load.transposed ? element(lanes, i, 2 * t + 1, g) : element(lanes, i, g, 2 * t + 1);
      load.registers[i] = low | high << 16;
    }
  }
}

// Tensor-core instructions are for whole warps.
void require_whole_warp(const char* name) {
  if (blockDim.x * blockDim.y * blockDim.z % kWarp == 0) return;
  fail_thread(cudaErrorLaunchFailure, fmt::format("{} in a block that is not made of whole warps", name));
}

}  // namespace

uint64_t warp_shuffle(uint32_t mask, uint64_t value, Shuffle kind, int argument, int width, Where where) {
  const int lane = running_thread() % kWarp;
  Exchange mine{value, source_of(kind, lane, argument, width)};
  warp_collective(mask, &mine, exchange, "a warp shuffle", where);
  if (mine.missing) {
    fail_thread(cudaErrorLaunchFailure,
                fmt::format("a warp shuffle at line {} reads lane {}, which takes no part", where.line, mine.source));
  }
  return mine.result;
}

uint32_t warp_ballot(uint32_t mask, bool predicate, const char* name, Where where) {
  Ballot mine{predicate};
  warp_collective(mask, &mine, ballot, name, where);
  return mine.result;
}

uint32_t atomic_add(uint32_t* address, uint32_t value) {
  check_atomic(address);
  const uint32_t old = *address;
  *address = old + value;
  return old;
}

uint32_t to_tf32(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;  // infinity, NaN
  return (bits + 0x1000u) & ~0x1fffu;
}

uint32_t to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return 0x7fffu;
  return (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
}

void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Where where) {
  require_whole_warp("mma");
  Fragments mine{d, a, b};
  warp_collective(kFull, &mine, multiply_tf32, "mma m16n8k8", where);
}

void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Where where) {
  require_whole_warp("mma");
  Fragments mine{d, a, b};
  warp_collective(kFull, &mine, multiply_bf16, "mma m16n8k16", where);
}

void ldmatrix(uint32_t* registers, int matrices, const void* row, bool transposed, Where where) {
  require_whole_warp("ldmatrix");
  if (running_thread() % kWarp < 8 * matrices) {
    if (!is_shared(row)) fail_thread(cudaErrorIllegalAddress, "ldmatrix from memory that is not shared");
    check_read(row, 16, true);
  }
  MatrixLoad mine{registers, matrices, static_cast<const unsigned char*>(row), transposed};
  warp_collective(kFull, &mine, load_matrices, "ldmatrix", where);
}

}  // namespace lockstep::emu
