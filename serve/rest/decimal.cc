// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/decimal.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace lockstep {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Powers of ten that a double holds exactly.
constexpr std::array<double, 23> kPowers = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr int kMostDigits = 19;  // that a uint64_t always holds

// A number as its digits say it: mantissa * 10^exponent. The mantissa is without meaning when it has more than
// kMostDigits.
struct Decimal {
  uint64_t mantissa = 0;
  int digits = 0;  // of the mantissa, those that are zeros in front included
  int64_t exponent = 0;
  bool negative = false;
};

constexpr uint64_t kEach = 0x0101010101010101;  // times a byte: that byte eight times

// Up to eight digits that lie in the bytes of a word, first digit lowest.
struct EightDigits {
  uint64_t value = 0;
  int count = 0;
};

// Without a branch on how many there are. Little-endian.
EightDigits read_eight(const char* at) {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  word ^= '0' * kEach;  // digits become 0 to 9
  const uint64_t others = (((word & (0x7f * kEach)) + 0x76 * kEach) | word) & (0x80 * kEach);
  const int count = std::countr_zero(others) / 8;
  const int shift = 64 - 8 * count;  // zeros in front of the digits; 64 is more than one shift may be
  word = word << (shift / 2) << (shift - shift / 2);
  // Neighbours are joined to pairs, pairs to fours, fours to the number.
  word = (word * 10 + (word >> 8)) & 0x00ff00ff00ff00ff;
  word = (word * 100 + (word >> 16)) & 0x0000ffff0000ffff;
  return {(word * 10000 + (word >> 32)) & 0xffffffff, count};
}

constexpr std::array<uint64_t, 9> kShifts = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

// The digits from `at` on, behind those that the number has.
void take_digits(const char*& at, const char* end, Decimal& number) {
  if constexpr (std::endian::native == std::endian::little) {
    EightDigits eight{0, 8};
    while (eight.count == 8 && end - at >= 8) {  // as foreseeable as numbers are alike
      eight = read_eight(at);
      number.mantissa = number.mantissa * kShifts[static_cast<size_t>(eight.count)] + eight.value;
      number.digits += eight.count;
      at += eight.count;
    }
    if (eight.count < 8) return;
  }
  for (; is_digit(*at); ++at, ++number.digits) {
    number.mantissa = number.mantissa * 10 + static_cast<uint64_t>(*at - '0');
  }
}

// False when there is no exponent where one must be.
bool take_exponent(const char*& at, Decimal& number) {
  if (*at != 'e' && *at != 'E') return true;
  ++at;
  const bool negative = *at == '-';
  if (*at == '-' || *at == '+') ++at;
  if (!is_digit(*at)) return false;
  int64_t exponent = 0;
  for (; is_digit(*at); ++at) exponent = std::min<int64_t>(exponent * 10 + (*at - '0'), 1'000'000);
  number.exponent += negative ? -exponent : exponent;
  return true;
}

bool take_number(const char*& at, const char* end, Decimal& number) {
  number.negative = *at == '-';
  if (number.negative) ++at;
  if (!is_digit(*at)) return false;
  if (*at == '0') {
    ++at;
  } else {
    take_digits(at, end, number);
  }
  if (*at == '.') {
    const char* const point = ++at;
    if (!is_digit(*at)) return false;
    take_digits(at, end, number);
    number.exponent = point - at;
  }
  return take_exponent(at, number);
}

// One rounding of the mantissa and one of the quotient leave `value` within three units in its last place of the exact
// number. Between two floats that only matters at their middle.
bool is_safely_rounded(double value) {
  constexpr int kDropped = std::numeric_limits<double>::digits - std::numeric_limits<float>::digits;
  constexpr uint64_t kHalf = uint64_t{1} << (kDropped - 1);
  const uint64_t dropped = std::bit_cast<uint64_t>(value) & (2 * kHalf - 1);
  return dropped + 4 < kHalf || dropped > kHalf + 4;
}

std::optional<float> to_float(double value) {
  if (!(std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max()))) return std::nullopt;
  return static_cast<float>(value);
}

std::optional<float> convert(const Decimal& number) {
  if (number.digits > kMostDigits || std::abs(number.exponent) >= static_cast<int64_t>(kPowers.size())) {
    return std::nullopt;
  }
  const double power = kPowers[static_cast<size_t>(std::abs(number.exponent))];
  const auto mantissa = static_cast<double>(number.mantissa);
  const double size = number.exponent < 0 ? mantissa / power : mantissa * power;
  // Both exact: one rounding, the right one. Otherwise floats below their smallest normal have fewer bits to compare.
  const bool is_exact = number.mantissa <= uint64_t{1} << std::numeric_limits<double>::digits;
  const bool is_normal = size >= static_cast<double>(std::numeric_limits<float>::min());
  if (!is_exact && !(is_normal && is_safely_rounded(size))) return std::nullopt;
  return to_float(number.negative ? -size : size);
}

}  // namespace

std::optional<float> read_decimal(const char*& at, const char* end) {
  const char* const begin = at;
  Decimal number;
  if (!take_number(at, end, number)) return std::nullopt;
  if (const auto value = convert(number)) return value;
  double value = 0;
  if (std::from_chars(begin, at, value).ec != std::errc()) return std::nullopt;
  return to_float(value);
}

}  // namespace lockstep
