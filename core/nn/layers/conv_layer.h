// SPDX-License-Identifier: Apache-2.0
// Convolution with bias and optional ReLU, alone or fused with the max-pool that follows it.
#pragma once

#include <optional>

#include "core/nn/layer.h"
#include "kernels/conv2d/conv2d.h"

namespace lockstep {

class ConvLayer : public Layer {
 public:
  // `conv` and `pool` without N; offsets of kernel and bias into the flat parameter buffer.
  ConvLayer(std::string name, const Conv2dParams& conv, const std::optional<Pool2dParams>& pool, int64_t kernel_offset,
            int64_t bias_offset);

  int64_t kept_bytes() const override { return pool_ ? output().size() : 0; }
  bool has_parameters() const override { return true; }
  double flops() const override;
  int64_t workspace_bytes(const KernelContext& kernel, const GradSlices& slices) const override;
  int64_t packed_floats(const KernelContext& kernel) const override {
    return conv2d_packed_floats(kernel, conv_params(1));
  }
  absl::Status pack(const KernelContext& kernel, const float* weights, float* packed) const override {
    return conv2d_pack(kernel, conv_params(1), weights + kernel_offset_, packed);
  }
  int forward_group(const KernelContext& kernel) const override { return conv2d_packed_group(kernel, conv_params(1)); }
  absl::Status forward(const PassContext& pass, const ForwardBuffers& buffers) const override;
  absl::Status backward(const PassContext& pass, const BackwardBuffers& buffers) const override;

 private:
  Conv2dParams conv_params(int64_t examples) const;
  Pool2dParams pool_params(int64_t examples) const;
  absl::Status backward_plain(const PassContext& pass, const BackwardBuffers& buffers) const;
  absl::Status backward_fused(const PassContext& pass, const BackwardBuffers& buffers) const;

  Conv2dParams conv_;
  std::optional<Pool2dParams> pool_;
  int64_t kernel_offset_, bias_offset_;
};

}  // namespace lockstep
