// SPDX-License-Identifier: Apache-2.0
// How a tensor that was only reshaped and transposed reads the numbers of the tensor it came from. An importer needs it
// to find which row of a dense kernel belongs to which pixel, whatever graph of Reshape and Transpose lies between.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lockstep {

// A row-major walk over `sizes()` visits the elements of the origin in the order order(). Sizes are those of one
// example: there is no batch axis.
class AxisView {
 public:
  AxisView() = default;
  // The origin itself: sizes of at least 1, whose product fits in int64.
  explicit AxisView(std::span<const int64_t> sizes);

  std::vector<int64_t> sizes() const;
  int64_t elements() const;
  int rank() const { return static_cast<int>(axes_.size()); }

  // False, and nothing changed, when the number of elements differs, or when an axis of the result would mix parts of
  // axes that are not whole factors of them (no network of this family does that).
  bool reshape(std::span<const int64_t> sizes);
  // Axis i of the result is axis permutation[i]. `permutation` must be one of the axes.
  void transpose(std::span<const int> permutation);

  // The axis visits `size` elements of the origin that are neighbours.
  bool is_run(int axis, int64_t size) const;
  // order() is 0, 1, 2, …
  bool is_contiguous() const;
  // Position in the origin for each element.
  std::vector<int64_t> order() const;

 private:
  // An axis is the product of its factors, the first one slowest; `stride` is in elements of the origin.
  struct Factor {
    int64_t size = 1, stride = 1;
  };
  using Axis = std::vector<Factor>;     // without factors of size 1
  std::vector<Factor> factors() const;  // of all axes; neighbours that are one run of the origin are joined
  static int64_t size_of(const Axis& axis);

  std::vector<Axis> axes_;
};

}  // namespace lockstep
