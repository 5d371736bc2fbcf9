// SPDX-License-Identifier: Apache-2.0
// The endless stream of example indices that training walks through. training_order() in batch_source.h is its one-call
// form; this one keeps the permutation of the current epoch.
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

// Not thread-safe. Holds 4 bytes per example when it shuffles.
class TrainingOrder {
 public:
  // Requires 1 <= examples < 2^32.
  TrainingOrder(int64_t examples, uint64_t seed, bool shuffle);

  // Fills `out` with the indices of positions [begin, begin + count).
  void fill(int64_t begin, int64_t count, std::vector<int64_t>& out);

 private:
  void shuffle_epoch(int64_t epoch);

  const int64_t examples_;
  const uint64_t seed_;
  const bool shuffle_;
  int64_t epoch_ = -1;  // whose permutation this is
  std::vector<uint32_t> permutation_;
};

}  // namespace lockstep
