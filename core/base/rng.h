// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC11).
// A number is a function of (seed, purpose, step, example, element) alone, so it is the same on every backend, rank,
// thread and after a resume. Thread-safe: no state.
#pragma once

#include <array>
#include <cstdint>

namespace lockstep {

// What a random number is used for; part of the key, so that uses never share a stream. Values are part of the
// meaning of a seed: append only.
enum class RngPurpose : uint32_t {
  kInit = 1,     // step = variable index, example = 0, element = index in the variable
  kShuffle = 2,  // step = epoch, element = position
  kDropout = 3,  // step = global step, example = position in the global batch, element = layer * 2^24 + unit
  kAugment = 4,  // step = global step, example = position in the global batch, element = which parameter
  kTest = 15,
};

struct Philox {
  using Block = std::array<uint32_t, 4>;

  static constexpr uint32_t kMul0 = 0xD2511F53u, kMul1 = 0xCD9E8D57u;
  static constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;

  // The ten-round bijection of `counter` under `key`.
  static constexpr Block block(Block counter, std::array<uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t{kMul0} * counter[0];
      const uint64_t p1 = uint64_t{kMul1} * counter[2];
      counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
                 static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
      key[0] += kWeyl0;
      key[1] += kWeyl1;
    }
    return counter;
  }
};

// The key and the fixed part of the counter of one stream of numbers.
// Layout: key = (seed low, seed high ^ purpose << 24); counter = (element / 4, example, step low, step high).
struct RngStream {
  std::array<uint32_t, 2> key;
  uint32_t example;
  uint64_t step;

  constexpr RngStream(uint64_t seed, RngPurpose purpose, uint64_t step_, uint32_t example_)
      : key{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32) ^ (static_cast<uint32_t>(purpose) << 24)},
        example(example_),
        step(step_) {}

  // The four numbers of elements 4 * quad .. 4 * quad + 3.
  constexpr Philox::Block quad(uint32_t quad_index) const {
    return Philox::block({quad_index, example, static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32)}, key);
  }
  constexpr uint32_t bits(uint32_t element) const { return quad(element / 4)[element % 4]; }
  // Uniform in [0, 1): 24 bits, exact in float.
  constexpr float uniform(uint32_t element) const { return to_uniform(bits(element)); }
  static constexpr float to_uniform(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1.0p-24f; }
};

}  // namespace lockstep
