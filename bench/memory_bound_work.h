// SPDX-License-Identifier: Apache-2.0
// The timed operators that do little with each number they read: all but convolutions and dense layers. Each function
// adds those of one kind at one size, passes forward and backward where both are there.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/kernel_work.h"

namespace lockstep {

void add_images(int64_t batch, int64_t pixels, std::vector<TimedKernel>* kernels);
void add_pool(const Pool2dParams& p, std::vector<TimedKernel>* kernels);
void add_dropout(int64_t batch, int64_t units, std::vector<TimedKernel>* kernels);
// With the loss and its gradient, and alone.
void add_softmax(int64_t batch, int classes, std::vector<TimedKernel>* kernels);
// Of a gradient of `count` floats.
void add_tree_sum(int64_t count, std::vector<TimedKernel>* kernels);
void add_adam(int64_t count, std::vector<TimedKernel>* kernels);

}  // namespace lockstep
