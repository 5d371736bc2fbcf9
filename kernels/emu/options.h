// SPDX-License-Identifier: Apache-2.0
// How the emulator runs a grid. Settings of the process; change them only while no work is enqueued.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/status.h"

namespace lockstep::emu {

// The order in which the blocks of a grid and the threads of a block take turns. Every order is one that a GPU may
// choose; a missing barrier often gives right numbers in one of them.
enum class Order { kAscending, kDescending, kSeeded };
struct ThreadOrder {
  Order kind = Order::kAscending;
  uint64_t seed = 0;  // kSeeded: another order for every block and every turn
};

// "ascending", "descending" or a seed, a decimal number.
absl::StatusOr<ThreadOrder> parse_thread_order(std::string_view text);

// At first what the environment variable LOCKSTEP_EMU_ORDER says; ascending where it is not set or not understood.
ThreadOrder thread_order();
void set_thread_order(ThreadOrder order);

// What cudaMemGetInfo calls total. At first LOCKSTEP_EMU_MEMORY_MB, or 8 GiB.
int64_t device_memory_bytes();
void set_device_memory_bytes(int64_t bytes);

}  // namespace lockstep::emu
