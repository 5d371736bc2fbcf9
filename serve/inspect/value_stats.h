// SPDX-License-Identifier: Apache-2.0
// Minimum, maximum and mean of the numbers of a tensor, read piece by piece.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "io/tensor_dtype.h"
#include "serve/inspect/inspect_report.h"

namespace lockstep {

class ValueStats {
 public:
  explicit ValueStats(TensorDtype dtype) : dtype_(dtype) {}

  // Whole elements, little-endian. Those of types that are not numbers are passed over.
  void add(std::string_view bytes);

  // The last element once more, so many times; nothing before the first.
  void repeat_last(int64_t times);

  // Cells min, max, mean (over the finite values) and the number of non-finite values; null is what nothing is known
  // of: all four without elements and of types that are not numbers, the first three of complex numbers.
  std::vector<InspectValue> cells() const;
  int64_t count() const { return finite_ + nonfinite_; }  // of elements that were looked at

 private:
  template <typename T>
  void add_numbers(std::string_view bytes);
  template <typename T>
  void add_complex(std::string_view bytes);
  template <typename ToFloat>
  void add_half(std::string_view bytes, ToFloat to_float);
  void add_value(double value);
  void count_element(bool is_finite);

  const TensorDtype dtype_;
  int64_t finite_ = 0, nonfinite_ = 0;
  bool last_is_finite_ = false;
  double last_ = 0;  // a number
  double sum_ = 0, min_ = std::numeric_limits<double>::infinity(), max_ = -std::numeric_limits<double>::infinity();
};

// Columns of a table of tensors; the last four are ValueStats::cells().
inline const std::vector<std::string> kTensorColumns{"name", "dtype", "shape", "min", "max", "mean", "non-finite"};

}  // namespace lockstep
