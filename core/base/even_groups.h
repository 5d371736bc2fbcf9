// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace lockstep {

// `count` things cut into groups of at most `most`, as even as they can be: so many that no thread is left without one
// at the end, but no more than that, since a group shares work. Nor are groups cut for that to less than a quarter of
// the most.
class EvenGroups {
 public:
  // 0 <= count; 1 <= most, threads.
  EvenGroups(int64_t count, int64_t most, int64_t threads) : count_(count) {
    const int64_t fewest = (count + most - 1) / most, least = (most + 3) / 4;
    const int64_t rounds = std::max<int64_t>(1, (fewest + threads - 1) / threads);
    groups_ = std::min(rounds * threads, std::max(fewest, count / least));
  }

  int64_t groups() const { return groups_; }
  int64_t begin(int64_t group) const { return group * count_ / groups_; }
  int64_t size(int64_t group) const { return begin(group + 1) - begin(group); }
  int64_t most() const { return groups_ == 0 ? 0 : (count_ + groups_ - 1) / groups_; }  // of a size

 private:
  int64_t count_, groups_ = 0;
};

}  // namespace lockstep
