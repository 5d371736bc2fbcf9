// SPDX-License-Identifier: Apache-2.0
// Checks of the running thread's accesses. Kernels compiled for the emulator call them through the hooks of
// -fsanitize=thread (hooks.cc); what the emulator does on behalf of a thread calls them itself. A finding ends the
// block.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lockstep::emu {

// `aligned`: p must be a multiple of `bytes`, a power of two up to 16.
void check_read(const void* p, size_t bytes, bool aligned);
void check_write(void* p, size_t bytes, bool aligned);

// A 4-byte read-modify-write, which does not race with its like.
void check_atomic(void* p);

// Whether `p` is shared memory.
bool is_shared(const void* p);

}  // namespace lockstep::emu
