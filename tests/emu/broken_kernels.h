// SPDX-License-Identifier: Apache-2.0
// Kernels, each with one mistake that the emulator must find, and sound ones beside them that it must not complain of.
// Launchers only: the kernels are in broken_kernels.cu. Pointers are device memory.
#pragma once

#include <cstdint>

#include "core/base/device.h"
#include "core/base/status.h"

namespace lockstep::broken {

// One block of 64 threads writes or reads x[i] up to and including x[n].
absl::Status write_past_end(DeviceStream stream, float* x, int n);
absl::Status read_past_end(DeviceStream stream, const float* x, float* y, int n);
absl::Status write_in_front(DeviceStream stream, float* x);
// Thread 3 writes through a null pointer, or reads the host's memory.
absl::Status write_null(DeviceStream stream);
absl::Status read_host(DeviceStream stream, const float* host, float* y);
// Index 40 of a shared array of 40, or of as much dynamic memory, by thread 40.
absl::Status write_past_shared(DeviceStream stream);
absl::Status write_past_dynamic_shared(DeviceStream stream);
// A float4 at x + 1; a float4 loaded from there whose first element alone is used.
absl::Status misaligned_store(DeviceStream stream, float* x);
absl::Status misaligned_load(DeviceStream stream, const float* x, float* y);
absl::Status misaligned_copy(DeviceStream stream, const float* x, float* y);
// Reads what it is given; for memory that was freed.
absl::Status read_one(DeviceStream stream, const float* x, float* y);
// Sums 64 shared floats of which thread 7 forgot to write its own.
absl::Status unwritten_shared(DeviceStream stream, float* y);
// Thread t reads what thread t+1 wrote, without a barrier, without __syncwarp, or soundly.
absl::Status missing_barrier(DeviceStream stream, float* y);
absl::Status missing_syncwarp(DeviceStream stream, float* y);
absl::Status sound_neighbours(DeviceStream stream, float* y);
// A buffer is filled for the next round while others still read the last.
absl::Status missing_barrier_before_reuse(DeviceStream stream, float* y);
// Two threads, or two blocks, write one word.
absl::Status race_in_global(DeviceStream stream, float* y);
absl::Status race_of_blocks(DeviceStream stream, float* y);
// The first and the last of three threads, or of three blocks, write byte 0; or one of them reads it. That between them
// writes, or reads, byte 1.
absl::Status race_in_bytes(DeviceStream stream, uint8_t* y, float* sink, bool reads, bool blocks);
// The same thread's next read, of byte 1, between another's of byte 0 and a third's write.
absl::Status race_in_byte_read_before(DeviceStream stream, uint8_t* y, float* sink);
absl::Status sound_bytes(DeviceStream stream, uint8_t* y);  // neighbours' bytes in one word
// Threads of two warps take turns with the bytes of a word; behind a barrier one takes all of it, then it is split
// anew.
absl::Status sound_byte_turns(DeviceStream stream, uint32_t* y);
// Barriers that not every thread reaches: thread 5 left; two places; inside a branch of one warp.
absl::Status barrier_after_exit(DeviceStream stream);
absl::Status barriers_at_two_places(DeviceStream stream);
absl::Status shuffle_in_branch(DeviceStream stream, float* y);
// Local arrays: index 8 of 8.
absl::Status local_index(DeviceStream stream, const int* index, float* y);
// cp.async without waiting; waiting for one group too few; soundly, double-buffered.
absl::Status copy_without_wait(DeviceStream stream, const float* x, float* y);
absl::Status copy_waits_too_little(DeviceStream stream, const float* x, float* y);
absl::Status sound_copies(DeviceStream stream, const float* x, float* y);
absl::Status copy_into_read_buffer(DeviceStream stream, const float* x, float* y);
// More shared memory than a block may have.
absl::Status too_much_shared(DeviceStream stream, size_t bytes);

}  // namespace lockstep::broken
