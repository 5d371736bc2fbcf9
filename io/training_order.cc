// SPDX-License-Identifier: Apache-2.0
#include "io/training_order.h"

#include <limits>
#include <numeric>
#include <utility>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "io/batch_source.h"

namespace lockstep {
namespace {

// Uniform in [0, bound) from the number of `position`, by multiplication (Lemire, "Fast Random Integer Generation in an
// Interval", 2019). A value in the uneven remainder is drawn again from the stream of the next attempt, so that every
// permutation is equally likely and a position's draw depends on no other.
uint32_t draw_below(uint32_t bound, uint32_t bits, uint64_t seed, uint64_t epoch, uint32_t position) {
  uint64_t product = uint64_t{bits} * bound;
  if (static_cast<uint32_t>(product) >= bound) return static_cast<uint32_t>(product >> 32);
  const uint32_t remainder = (0u - bound) % bound;  // 2^32 mod bound
  for (uint32_t attempt = 1; static_cast<uint32_t>(product) < remainder; ++attempt) {
    product = uint64_t{RngStream(seed, RngPurpose::kShuffle, epoch, attempt).bits(position)} * bound;
  }
  return static_cast<uint32_t>(product >> 32);
}

}  // namespace

TrainingOrder::TrainingOrder(int64_t examples, uint64_t seed, bool shuffle)
    : examples_(examples), seed_(seed), shuffle_(shuffle) {
  LOCKSTEP_CHECK_GE(examples, 1);
  LOCKSTEP_CHECK_LE(examples, int64_t{std::numeric_limits<uint32_t>::max()});
}

void TrainingOrder::fill(int64_t begin, int64_t count, std::vector<int64_t>& out) {
  out.clear();
  out.reserve(static_cast<size_t>(count));
  for (int64_t position = begin; position < begin + count; ++position) {
    const int64_t in_epoch = position % examples_;
    if (!shuffle_) {
      out.push_back(in_epoch);
      continue;
    }
    if (position / examples_ != epoch_) shuffle_epoch(position / examples_);
    out.push_back(permutation_[static_cast<size_t>(in_epoch)]);
  }
}

// Fisher-Yates from the top down; position i takes element number i of the epoch's stream.
void TrainingOrder::shuffle_epoch(int64_t epoch) {
  epoch_ = epoch;
  permutation_.resize(static_cast<size_t>(examples_));
  std::iota(permutation_.begin(), permutation_.end(), 0u);
  const RngStream stream(seed_, RngPurpose::kShuffle, static_cast<uint64_t>(epoch), 0);
  Philox::Block numbers{};
  uint32_t numbers_quad = std::numeric_limits<uint32_t>::max();
  for (auto i = static_cast<uint32_t>(examples_ - 1); i > 0; --i) {
    if (i / 4 != numbers_quad) {
      numbers_quad = i / 4;
      numbers = stream.quad(numbers_quad);
    }
    const uint32_t j = draw_below(i + 1, numbers[i % 4], seed_, static_cast<uint64_t>(epoch), i);
    std::swap(permutation_[i], permutation_[j]);
  }
}

std::vector<int64_t> training_order(int64_t begin, int64_t end, int64_t examples, uint64_t seed, bool shuffle) {
  std::vector<int64_t> indices;
  TrainingOrder(examples, seed, shuffle).fill(begin, end - begin, indices);
  return indices;
}

}  // namespace lockstep
