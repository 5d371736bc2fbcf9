// SPDX-License-Identifier: Apache-2.0
// Minimum, maximum and mean of the numbers of a tensor, read piece by piece.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "io/tensor_bundle.h"
#include "serve/inspect/inspect_report.h"

namespace lockstep {

class ValueStats {
 public:
  explicit ValueStats(TensorDtype dtype) : dtype_(dtype) {}

  // Whole elements, little-endian. Types that are not numbers are passed over.
  void add(std::string_view bytes) {
    switch (dtype_) {
      case TensorDtype::kFloat32:
        return add_as<float>(bytes);
      case TensorDtype::kDouble:
        return add_as<double>(bytes);
      case TensorDtype::kInt32:
        return add_as<int32_t>(bytes);
      case TensorDtype::kInt64:
        return add_as<int64_t>(bytes);
      case TensorDtype::kUint8:
      case TensorDtype::kBool:
        return add_as<uint8_t>(bytes);
      case TensorDtype::kString:
        return;
    }
  }

  // Cells min, max, mean (over the finite values, null without one) and the number of non-finite values.
  std::vector<InspectValue> cells() const {
    if (finite_ == 0) return {nullptr, nullptr, nullptr, nonfinite_};
    return {min_, max_, sum_ / static_cast<double>(finite_), nonfinite_};
  }
  int64_t count() const { return finite_ + nonfinite_; }  // of elements

 private:
  template <typename T>
  void add_as(std::string_view bytes) {
    for (size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
      T element;
      std::memcpy(&element, bytes.data() + at, sizeof(T));
      const auto value = static_cast<double>(element);
      if (!std::isfinite(value)) {
        ++nonfinite_;
        continue;
      }
      ++finite_;
      sum_ += value;
      min_ = value < min_ ? value : min_;
      max_ = value > max_ ? value : max_;
    }
  }

  const TensorDtype dtype_;
  int64_t finite_ = 0, nonfinite_ = 0;
  double sum_ = 0, min_ = std::numeric_limits<double>::infinity(), max_ = -std::numeric_limits<double>::infinity();
};

// Columns of a table of tensors; the last four are ValueStats::cells().
inline const std::vector<std::string> kTensorColumns{"name", "dtype", "shape", "min", "max", "mean", "non-finite"};

}  // namespace lockstep
