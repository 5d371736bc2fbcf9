// SPDX-License-Identifier: Apache-2.0
// Inputs made to provoke failures. Every value is a function of (seed, index) alone.
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

// Uniform in [low, high).
std::vector<float> fill_uniform(int64_t size, uint64_t seed, float low = -1, float high = 1);

// Mixed signs and magnitudes from 2^-8 to 2^4, so that large terms cancel and small ones must survive.
std::vector<float> fill_cancelling(int64_t size, uint64_t seed);

// Multiples of 1/8 in [-1, 1]: many ties, and sums of their products are exact in float up to 2^18 terms.
std::vector<float> fill_grid(int64_t size, uint64_t seed);

// A permutation of evenly spaced distinct values in [-1, 1): no ties, and known gaps of 2 / size.
std::vector<float> fill_distinct(int64_t size, uint64_t seed);

// Rows of `columns` logits: a large common offset per row, and a spread far beyond what exp can represent.
std::vector<float> fill_logits(int64_t rows, int columns, uint64_t seed);

std::vector<int32_t> fill_labels(int64_t rows, int columns, uint64_t seed);

std::vector<float> absolute(std::vector<float> values);

}  // namespace lockstep
