// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/decimal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

// Up to eight digits that lie in the bytes of a word, first digit lowest. Little-endian; nothing in here branches on
// how many there are.
class EightDigits {
 public:
  explicit EightDigits(const char* at) {
    std::memcpy(&word_, at, sizeof word_);
    word_ ^= '0' * kEach;  // digits become 0 to 9
    others_ = (((word_ & (0x7f * kEach)) + 0x76 * kEach) | word_) & (0x80 * kEach);
  }
  int count() const { return std::countr_zero(others_) / 8; }
  // Of the digits.
  uint64_t value() const {
    const int shift = 64 - 8 * count();  // zeros in front of the digits; 64 is more than one shift may be
    return joined(word_ << (shift / 2) << (shift - shift / 2));
  }

 private:
  // Neighbours are joined to pairs, pairs to fours, fours to the number.
  static uint64_t joined(uint64_t word) {
    word = (word * 10 + (word >> 8)) & 0x00ff00ff00ff00ff;
    word = (word * 100 + (word >> 16)) & 0x0000ffff0000ffff;
    return (word * 10000 + (word >> 32)) & 0xffffffff;
  }

  uint64_t word_ = 0, others_ = 0;  // others: the highest bit of each byte that is no digit
};

constexpr std::array<uint64_t, 9> kShifts = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

// The digits from `at` on, behind those that the number has.
void take_digits(const char*& at, const char* end, Decimal& number) {
  if constexpr (std::endian::native == std::endian::little) {
    while (end - at >= 8) {
      const EightDigits eight(at);
      const int count = eight.count();
      number.mantissa = number.mantissa * kShifts[static_cast<size_t>(count)] + eight.value();
      number.digits += count;
      at += count;
      if (count < 8) return;  // as foreseeable as numbers are alike
    }
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

// A few roundings leave `value` within five units in its last place of the exact number. Between two floats that only
// matters at their middle.
bool is_safely_rounded(double value) {
  constexpr uint64_t kMargin = 8;
  constexpr int kDropped = std::numeric_limits<double>::digits - std::numeric_limits<float>::digits;
  constexpr uint64_t kHalf = uint64_t{1} << (kDropped - 1);
  const uint64_t dropped = std::bit_cast<uint64_t>(value) & (2 * kHalf - 1);
  return dropped + kMargin < kHalf || dropped > kHalf + kMargin;
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

#ifdef __SSE2__
// Eight digits in each of the registers' low or high halves are joined like those of EightDigits, all at once.
__m128i join_three_eights(__m128i first_two, __m128i third) {
  const __m128i zero = _mm_setzero_si128();
  const __m128i tens = _mm_set1_epi32(10 | 1 << 16), hundreds = _mm_set1_epi32(100 | 1 << 16),
                ten_thousands = _mm_set1_epi32(10000 | 1 << 16);
  const auto pairs = [&](__m128i digits) { return _mm_madd_epi16(digits, tens); };
  const __m128i fours = _mm_madd_epi16(
      _mm_packs_epi32(pairs(_mm_unpacklo_epi8(first_two, zero)), pairs(_mm_unpackhi_epi8(first_two, zero))), hundreds);
  const __m128i last_fours = _mm_madd_epi16(_mm_packs_epi32(pairs(_mm_unpacklo_epi8(third, zero)), zero), hundreds);
  return _mm_madd_epi16(_mm_packs_epi32(fours, last_fours), ten_thousands);
}

constexpr std::array<char, 64> make_kept() {
  std::array<char, 64> kept{};
  for (size_t i = 0; i < 32; ++i) kept[i] = '\xff';
  return kept;
}
constexpr std::array<char, 64> kKept = make_kept();  // from its byte 32 - n on: keeps n bytes

__m128i load(const char* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

// "0.2901960784313726", as pixels mostly are: up to 23 digits, without a branch that depends on how many. Nothing, and
// `at` as it was, for all others.
std::optional<float> read_fraction(const char*& at, const char* end) {
  constexpr int64_t kPoint = 2, kLoaded = 32;
  if (end - at < kPoint + kLoaded || at[0] != '0' || at[1] != '.') return std::nullopt;
  const auto minus_zeros = [](const char* from) { return _mm_sub_epi8(load(from), _mm_set1_epi8('0')); };
  const auto are_digits = [](__m128i bytes) {
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(9)), bytes)));
  };
  const __m128i first_two = minus_zeros(at + kPoint), third = minus_zeros(at + kPoint + 16);
  const int count = std::countr_one(are_digits(first_two) | are_digits(third) << 16);
  const char* const behind = at + kPoint + count;
  if (count == 0 || count >= 24 || *behind == 'e' || *behind == 'E') return std::nullopt;
  const char* const kept = kKept.data() + 32 - count;
  const __m128i eights = join_three_eights(_mm_and_si128(first_two, load(kept)), _mm_and_si128(third, load(kept + 16)));
  // At most four roundings of each part, those of the powers and sums among them.
  const __m128d parts = _mm_mul_pd(_mm_cvtepi32_pd(eights), _mm_setr_pd(1e-8, 1e-16));
  const double low = 1e-24 * static_cast<double>(_mm_cvtsi128_si32(_mm_shuffle_epi32(eights, 2)));
  const double value = _mm_cvtsd_f64(parts) + (_mm_cvtsd_f64(_mm_unpackhi_pd(parts, parts)) + low);
  // The smallest but zero is far above the smallest normal float.
  if (!is_safely_rounded(value)) return std::nullopt;
  at = behind;
  return static_cast<float>(value);
}
#else
std::optional<float> read_fraction(const char*&, const char*) { return std::nullopt; }
#endif

void skip_space(const char*& at) {
  while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') ++at;
}

// Images are mostly background: runs of "0.0, " or "0,", but for the last of the list.
size_t take_zeros(const char*& at, const char* end, std::span<float> out) {
  size_t count = 0;
  while (count + 1 < out.size() && end - at >= 4 && at[0] == '0') {
    const bool is_decimal = std::memcmp(at, "0.0,", 4) == 0;
    if (!is_decimal && at[1] != ',') break;
    at += is_decimal ? 4 : 2;
    at += static_cast<int>(*at == ' ');
    out[count++] = 0;
  }
  return count;
}

}  // namespace

std::optional<float> read_decimal(const char*& at, const char* end) {
  if (const auto fraction = read_fraction(at, end)) return fraction;
  const char* const begin = at;
  Decimal number;
  if (!take_number(at, end, number)) return std::nullopt;
  if (const auto value = convert(number)) return value;
  double value = 0;
  if (std::from_chars(begin, at, value).ec != std::errc()) return std::nullopt;
  return to_float(value);
}

bool read_decimals(const char*& at, const char* end, std::span<float> out) {
  const char* here = at;  // a local one stays in a register
  for (size_t i = 0; i < out.size(); ++i) {
    if (i > 0 && *here++ != ',') return false;
    skip_space(here);
    i += take_zeros(here, end, out.subspan(i));
    skip_space(here);
    auto number = read_fraction(here, end);
    if (!number) {
      at = here;
      number = read_decimal(at, end);
      if (!number) return false;
      here = at;
    }
    out[i] = *number;
    skip_space(here);
  }
  at = here;
  return true;
}

}  // namespace lockstep
