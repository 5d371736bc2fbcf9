// SPDX-License-Identifier: Apache-2.0
// Which implementation of an operator runs, and where.
#pragma once

#include <string>
#include <string_view>

#include "core/base/device.h"
#include "core/base/status.h"
#include "core/base/thread_pool.h"

namespace lockstep {

enum class Backend {
  kRef,    // plain loops, sums in double: the oracle
  kSimd,   // CPU, Highway, run-time dispatch over instruction sets
  kCuda,   // GPU, our own kernels
  kCudnn,  // GPU, cuDNN where it has the operator, else as kCuda
};

// Whether operators work on device memory and enqueue on a stream.
inline bool is_device(Backend backend) { return backend == Backend::kCuda || backend == Backend::kCudnn; }

// "ref", "simd", "cuda" or "cudnn".
std::string_view backend_name(Backend backend);
absl::StatusOr<Backend> parse_backend(std::string_view name);

// The instruction set that kSimd uses in this process, as Highway names it ("AVX3", "AVX2", …).
std::string simd_target_name();

struct DeviceOps;

// What changes from step to step, in device memory, so that a captured graph of a step can be launched for every step.
struct StepScalars {
  uint64_t step = 0;        // DropoutParams::step
  float learning_rate = 0;  // AdamParams
  float beta1_power = 0, beta2_power = 0;
};

// What operators on a GPU need besides their arguments. All pointers are borrowed.
struct DeviceContext {
  Device* device = nullptr;
  const DeviceOps* ops = nullptr;  // of the CUDA library, or of the emulator
  DeviceStream stream;             // where operators enqueue; their work is done when the stream's is
  // Scratch memory of one operator at a time on this stream; contents undefined.
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  // Device memory; where not null, dropout and Adam read their changing parameters here when they run, and ignore those
  // in their arguments.
  const StepScalars* step_scalars = nullptr;
  bool tensor_cores = false;  // TF32 products with float sums in convolutions and dense layers
  bool bf16 = false;          // … or bfloat16 products
};

// Passed to every operator. Pool and device are borrowed; without a pool the calling thread works alone. An operator's
// result never depends on the number of threads. On a device backend every pointer that an operator takes is device
// memory, and argument values there (labels) are not checked.
struct KernelContext {
  Backend backend = Backend::kSimd;
  ThreadPool* pool = nullptr;
  const DeviceContext* device = nullptr;  // device backends only
};

}  // namespace lockstep
