// SPDX-License-Identifier: Apache-2.0
// The ways a file goes bad, one after another: cut at every byte, every bit flipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/support/sanitizer.h"

namespace lockstep {

// Of a file of so many bytes one place of so many is tried: under a sanitizer a sample of a larger one. The release
// suite tries all, but what reads a byte too far is seen under a sanitizer alone.
constexpr size_t damage_sample(size_t bytes) {
  constexpr size_t kSmall = 1024;
  return kUnderSanitizer && bytes > kSmall ? 7 : 1;
}

// Calls visit(damaged, length) for every proper prefix, the empty one included; `stride` > 1 takes every stride-th of a
// large file.
template <typename Visit>
void for_each_cut(const std::string& good, Visit&& visit, size_t stride = 1) {
  for (size_t length = 0; length < good.size(); length += stride * damage_sample(good.size()))
    visit(good.substr(0, length), length);
}

// Calls visit(damaged, bit) with each single bit flipped; `stride` > 1 takes every stride-th bit of a large file.
template <typename Visit>
void for_each_bit_flip(const std::string& good, Visit&& visit, size_t stride = 1) {
  std::string damaged = good;
  for (size_t bit = 0; bit < 8 * good.size(); bit += stride * damage_sample(good.size())) {
    const char mask = static_cast<char>(1u << (bit % 8));
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ mask);
    visit(static_cast<const std::string&>(damaged), bit);
    damaged[bit / 8] = good[bit / 8];
  }
}

}  // namespace lockstep
