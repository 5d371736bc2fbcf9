// SPDX-License-Identifier: Apache-2.0
// What N ranks make of a filter gradient: each its partial sums, then all of them added along the fixed tree. Written
// without the tree walk that the kernels use.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "kernels/grad_slices.h"

namespace lockstep {

// Fills the partial sums, one vector per subtree, of a rank whose first example is `first_example` of the batch.
using RankGradient = std::function<std::vector<std::vector<float>>(const GradSlices& slices, int64_t first_example)>;

class RankSums {
 public:
  RankSums(int ranks, int slices, int64_t batch, const RankGradient& gradient) : slices_(slices) {
    for (int rank = 0; rank < ranks; ++rank) {
      const GradSlices local = GradSlices::for_rank(rank, ranks, slices, batch);
      auto partials = gradient(local, slice_begin(local.first_slice, slices, batch));
      int first = local.first_slice;
      for (size_t t = 0; t < partials.size(); first += local.subtrees[t++]) {
        partials_[{first, local.subtrees[t]}] = std::move(partials[t]);
      }
    }
  }

  std::vector<float> total() const { return sum(0, slices_); }

 private:
  std::vector<float> sum(int first, int count) const {
    const auto found = partials_.find({first, count});
    if (found != partials_.end()) return found->second;
    std::vector<float> left = sum(first, count / 2);
    const std::vector<float> right = sum(first + count / 2, count / 2);
    for (size_t i = 0; i < left.size(); ++i) left[i] += right[i];
    return left;
  }

  int slices_;
  std::map<std::pair<int, int>, std::vector<float>> partials_;  // by first slice and number of slices
};

// Room for the partial sums of `slices`, for one parameter, and their copy out.
class PartialBuffer {
 public:
  PartialBuffer(const GradSlices& slices, int64_t size)
      : size_(size), values_(slices.subtrees.size() * static_cast<size_t>(size)) {}
  GradOutput output() { return {values_.data(), size_}; }
  // The partial sums, each followed by those of `other`: weights and bias in one vector.
  std::vector<std::vector<float>> joined_with(const PartialBuffer& other) const {
    std::vector<std::vector<float>> joined;
    for (size_t t = 0; t * static_cast<size_t>(size_) < values_.size(); ++t) {
      joined.push_back(part(t));
      const std::vector<float> more = other.part(t);
      joined.back().insert(joined.back().end(), more.begin(), more.end());
    }
    return joined;
  }

 private:
  std::vector<float> part(size_t t) const {
    const auto begin = values_.begin() + static_cast<int64_t>(t) * size_;
    return {begin, begin + size_};
  }

  int64_t size_;
  std::vector<float> values_;
};

}  // namespace lockstep
