// SPDX-License-Identifier: Apache-2.0
#include "serve/inspect/value_stats.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace lockstep {
namespace {

// IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction.
double half_to_double(uint16_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = (bits >> 10) & 0x1f, fraction = bits & 0x3ff;
  constexpr int kInfinite = 0x1f, kHidden = 0x400, kBias = 15 + 10;
  if (exponent == kInfinite) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - kBias);
  return sign * std::ldexp(kHidden + fraction, exponent - kBias);
}

// The upper half of a float32.
double bfloat16_to_double(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

template <typename T, typename Visit>
void for_each(std::string_view bytes, Visit&& visit) {
  for (size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T element;
    std::memcpy(&element, bytes.data() + at, sizeof(T));
    visit(element);
  }
}

bool is_complex(TensorDtype dtype) { return dtype == TensorDtype::kComplex64 || dtype == TensorDtype::kComplex128; }

}  // namespace

void ValueStats::count_element(bool is_finite) {
  ++(is_finite ? finite_ : nonfinite_);
  last_is_finite_ = is_finite;
}

void ValueStats::add_value(double value) {
  count_element(std::isfinite(value));
  if (!last_is_finite_) return;
  last_ = value;
  sum_ += value;
  min_ = value < min_ ? value : min_;
  max_ = value > max_ ? value : max_;
}

template <typename T>
void ValueStats::add_numbers(std::string_view bytes) {
  for_each<T>(bytes, [this](T element) { add_value(static_cast<double>(element)); });
}

template <typename T>
void ValueStats::add_complex(std::string_view bytes) {
  struct Parts {
    T real, imaginary;
  };
  for_each<Parts>(bytes, [this](const Parts& parts) {
    count_element(std::isfinite(parts.real) && std::isfinite(parts.imaginary));
  });
}

template <typename ToFloat>
void ValueStats::add_half(std::string_view bytes, ToFloat to_float) {
  for_each<uint16_t>(bytes, [&](uint16_t bits) { add_value(to_float(bits)); });
}

void ValueStats::add(std::string_view bytes) {
  switch (dtype_) {
    case TensorDtype::kFloat32:
      return add_numbers<float>(bytes);
    case TensorDtype::kDouble:
      return add_numbers<double>(bytes);
    case TensorDtype::kFloat16:
      return add_half(bytes, half_to_double);
    case TensorDtype::kBfloat16:
      return add_half(bytes, bfloat16_to_double);
    case TensorDtype::kInt8:
    case TensorDtype::kQint8:
      return add_numbers<int8_t>(bytes);
    case TensorDtype::kInt16:
    case TensorDtype::kQint16:
      return add_numbers<int16_t>(bytes);
    case TensorDtype::kInt32:
    case TensorDtype::kQint32:
      return add_numbers<int32_t>(bytes);
    case TensorDtype::kInt64:
      return add_numbers<int64_t>(bytes);
    case TensorDtype::kBool:
    case TensorDtype::kUint8:
    case TensorDtype::kQuint8:
      return add_numbers<uint8_t>(bytes);
    case TensorDtype::kUint16:
    case TensorDtype::kQuint16:
      return add_numbers<uint16_t>(bytes);
    case TensorDtype::kUint32:
      return add_numbers<uint32_t>(bytes);
    case TensorDtype::kUint64:
      return add_numbers<uint64_t>(bytes);
    case TensorDtype::kComplex64:
      return add_complex<float>(bytes);
    case TensorDtype::kComplex128:
      return add_complex<double>(bytes);
    case TensorDtype::kString:
    case TensorDtype::kResource:
    case TensorDtype::kVariant:
      return;
  }
}

void ValueStats::repeat_last(int64_t times) {
  if (count() == 0) return;
  (last_is_finite_ ? finite_ : nonfinite_) += times;
  if (last_is_finite_) sum_ += static_cast<double>(times) * last_;
}

std::vector<InspectValue> ValueStats::cells() const {
  if (count() == 0) return {nullptr, nullptr, nullptr, nullptr};
  if (finite_ == 0 || is_complex(dtype_)) return {nullptr, nullptr, nullptr, nonfinite_};
  return {min_, max_, sum_ / static_cast<double>(finite_), nonfinite_};
}

}  // namespace lockstep
