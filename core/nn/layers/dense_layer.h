// SPDX-License-Identifier: Apache-2.0
// Fully connected layer over the flattened input, with bias and optional ReLU.
#pragma once

#include "core/nn/layer.h"
#include "kernels/dense/dense.h"
#include "kernels/dense/dense_update.h"

namespace lockstep {

class DenseLayer : public Layer {
 public:
  // Offsets of kernel and bias into the flat parameter buffer.
  DenseLayer(std::string name, FeatureShape input, int units, bool relu, int64_t kernel_offset, int64_t bias_offset)
      : Layer(std::move(name), input, {1, 1, units}),
        relu_(relu),
        kernel_offset_(kernel_offset),
        bias_offset_(bias_offset) {}

  bool has_parameters() const override { return true; }
  double flops() const override { return params(1).flops(); }
  int64_t operand_floats() const override { return dense_operand_floats(params(1)); }
  int64_t update_scratch_bytes(int64_t examples) const override {
    return dense_update_scratch_floats(params(examples)) * static_cast<int64_t>(sizeof(float));
  }
  int64_t workspace_bytes(const KernelContext& kernel, const GradSlices& slices) const override;
  int64_t packed_floats(const KernelContext& kernel) const override { return dense_packed_floats(kernel, params(1)); }
  absl::Status pack(const KernelContext& kernel, const float* weights, float* packed) const override {
    return dense_pack(kernel, params(1), weights + kernel_offset_, packed);
  }
  absl::Status forward(const PassContext& pass, const ForwardBuffers& buffers) const override;
  absl::Status backward(const PassContext& pass, const BackwardBuffers& buffers) const override;
  absl::Status update(const PassContext& pass, const UpdateBuffers& buffers) const override;

 private:
  DenseParams params(int64_t examples) const {
    return {.N = examples, .I = static_cast<int>(input().size()), .O = output().channels, .relu = relu_};
  }

  bool relu_;
  int64_t kernel_offset_, bias_offset_;
};

}  // namespace lockstep
