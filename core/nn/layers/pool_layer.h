// SPDX-License-Identifier: Apache-2.0
// A max-pool that does not directly follow a convolution.
#pragma once

#include "core/nn/layer.h"
#include "kernels/pool2d/pool2d.h"

namespace lockstep {

class PoolLayer : public Layer {
 public:
  PoolLayer(std::string name, const Pool2dParams& pool)
      : Layer(std::move(name), {pool.H, pool.W, pool.C}, {pool.OH(), pool.OW(), pool.C}), pool_(pool) {}

  int64_t kept_bytes() const override { return output().size(); }
  int forward_group(const KernelContext&) const override { return 1; }
  absl::Status forward(const PassContext& pass, const ForwardBuffers& buffers) const override;
  absl::Status backward(const PassContext& pass, const BackwardBuffers& buffers) const override;

 private:
  Pool2dParams pool_;
};

}  // namespace lockstep
