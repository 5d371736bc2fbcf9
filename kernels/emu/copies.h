// SPDX-License-Identifier: Apache-2.0
// The cp.async copies that the threads of the running block have under way; the calls themselves are in warp_ops.h.
#pragma once

namespace lockstep::emu {

// Forgets all of the block before.
void start_copies(int threads);

}  // namespace lockstep::emu
