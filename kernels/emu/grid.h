// SPDX-License-Identifier: Apache-2.0
// Runs a grid: blocks one after another, the threads of a block as fibers that take turns at barriers and warp
// exchanges, in the order of options.h.
#pragma once

#include <cstdint>

#include "kernels/emu/failure.h"
#include "kernels/emu/kernel_call.h"
#include "kernels/emu/where.h"

namespace lockstep::emu {

constexpr int kMaxThreads = 1024;
constexpr int kWarp = 32;
constexpr size_t kMaxSharedBytes = 99 * 1024;  // of a block: the least that any architecture we ship for offers

struct Grid {
  const KernelCall* call = nullptr;
  dim3 grid, block;
  size_t shared_bytes = 0;
};

// Empty where CUDA would start the grid, else what is wrong with its dimensions.
Failure check_grid(const Grid& grid);
// Runs it to the end, or to the first finding.
Failure run_grid(const Grid& grid);

// The thread of a kernel that this thread of the host runs now, for the checks of its accesses (memory.h explains
// stamps and who). Other threads of the host run beside it: the linker may have given them inline functions that call
// hooks.
struct Running {
  uint32_t stamp = 1;         // of the interval between two barriers
  uint32_t block_stamp = 1;   // the first of the block
  uint32_t launch_stamp = 1;  // the first of the launch
  uint32_t who = 0;           // thread and its count of __syncwarp, shifted
  uintptr_t stack = 0;        // its lowest address; 0: none
  const KernelCall* call = nullptr;
};
extern constinit thread_local Running g_running;
// Its index in the block; -1: none.
int running_thread();

// What lanes do together: each passes what it brings, the last to come calls run(), which may read and write what all
// brought, and all go on. `lanes` is null where a lane takes no part.
using WarpFunction = void (*)(void* const (&lanes)[kWarp], uint32_t mask);
void warp_collective(uint32_t mask, void* brought, WarpFunction run, const char* name, Where where);

}  // namespace lockstep::emu
