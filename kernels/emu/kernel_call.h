// SPDX-License-Identifier: Apache-2.0
// A kernel with its arguments, as it waits in a stream or a graph.
#pragma once

#include <cstddef>
#include <memory>
#include <tuple>
#include <utility>

#include "kernels/emu/vector_types.h"

namespace lockstep::emu {

class KernelCall {
 public:
  virtual ~KernelCall() = default;
  // Runs one thread of the grid: the one that threadIdx and blockIdx name.
  virtual void run() const = 0;
  virtual const void* address() const = 0;
  // Bytes of the object, which holds the kernel's parameters.
  virtual size_t size_bytes() const = 0;
};

template <typename... Params>
class KernelCallOf final : public KernelCall {
 public:
  KernelCallOf(void (*entry)(Params...), Params... params) : kernel_(entry), params_(std::move(params)...) {}
  void run() const override { std::apply(kernel_, params_); }
  const void* address() const override { return reinterpret_cast<const void*>(kernel_); }
  size_t size_bytes() const override { return sizeof(*this); }

 private:
  void (*kernel_)(Params...);
  std::tuple<Params...> params_;
};

// Checks the dimensions and puts the call into the stream; a cudaError_t. The run comes later, see stream.h.
int enqueue_kernel(std::unique_ptr<KernelCall> call, dim3 grid, dim3 block, size_t shared_bytes, void* stream);

}  // namespace lockstep::emu
