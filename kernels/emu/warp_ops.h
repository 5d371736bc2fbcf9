// SPDX-License-Identifier: Apache-2.0
// The emulated twins of mma.cuh. Products are exact, sums of a product in double, rounded once to float.
#pragma once

#include <cstdint>

#include "kernels/emu/where.h"

namespace lockstep::emu {

uint32_t to_tf32(float x);
uint32_t to_bf16(float x);  // in the lower half

void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Where where = Where::current());
void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Where where = Where::current());
// `matrices` registers (2 or 4) from as many matrices.
void ldmatrix(uint32_t* registers, int matrices, const void* row, bool transposed, Where where = Where::current());

// Issued copies land when their group is waited for; until then the target counts as not written.
void cp_async(void* to_shared, const void* from_global, int bytes, int source_bytes);
void cp_async_commit();
void cp_async_wait(int pending);

}  // namespace lockstep::emu
