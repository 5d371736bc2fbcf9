// SPDX-License-Identifier: Apache-2.0
// One layer of a network: forward and backward over buffers that the model owns. A layer holds sizes and offsets, no
// data, so it is immutable and thread-safe. A fused pair (convolution and the max-pool behind it) is one layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "kernels/adam/adam.h"
#include "kernels/backend.h"
#include "kernels/grad_slices.h"

namespace lockstep {

// Height, width, channels of one example's activation; a dense layer sees (and makes) 1 x 1 x units.
struct FeatureShape {
  int height = 1, width = 1, channels = 1;
  int64_t size() const { return int64_t{height} * width * channels; }
  // "14x14x32"
  std::string to_string() const;
};

// What a pass over one local batch needs to know besides its buffers.
struct PassContext {
  KernelContext kernel;
  int64_t examples = 0;
  bool training = false;               // dropout drops
  uint64_t seed = 0;                   // the run's
  uint64_t step = 0;                   // global step
  uint32_t first_example = 0;          // position in the global batch of local example 0
  const GradSlices* slices = nullptr;  // backward only
};

struct ForwardBuffers {
  const float* x = nullptr;        // (examples, input)
  float* y = nullptr;              // (examples, output); the same as x for a layer that works in place
  uint8_t* kept = nullptr;         // (examples, kept_bytes()): what backward needs besides y
  const float* weights = nullptr;  // the flat parameter buffer
  const float* packed = nullptr;  // the layer's weights as Layer::pack made them, to be used instead, and nothing kept;
                                  // or null
};

struct BackwardBuffers {
  const float* x = nullptr;
  const float* y = nullptr;
  const uint8_t* kept = nullptr;
  const float* weights = nullptr;
  const float* grad_y = nullptr;  // (examples, output)
  float* grad_x = nullptr;        // (examples, input), overwritten; null when nobody needs it
  GradOutput gradients;           // of the flat parameter buffer
  // Instead of partial sums, write this layer's operands (see Layer::operand_floats) at gradients.data + the offset of
  // its first parameter.
  bool give_operands = false;
};

// The operands that backward wrote for `examples` adjacent examples.
struct LayerOperands {
  int64_t examples = 0;
  const float* data = nullptr;
};

// An update of the parameters [begin, end) of the flat buffer, all of the layer's.
struct UpdateBuffers {
  std::vector<LayerOperands> operands;  // of the whole global batch, in order
  int64_t begin = 0, end = 0;
  AdamParams adam;
  float *m = nullptr, *v = nullptr, *weights = nullptr;  // flat
};

class Layer {
 public:
  Layer(std::string name, FeatureShape input, FeatureShape output)
      : name_(std::move(name)), input_(input), output_(output) {}
  virtual ~Layer() = default;

  const std::string& name() const { return name_; }
  FeatureShape input() const { return input_; }
  FeatureShape output() const { return output_; }

  // y overwrites x, grad_x overwrites grad_y. No later backward may need the old x.
  virtual bool in_place() const { return false; }
  // Bytes per example kept from forward to backward.
  virtual int64_t kept_bytes() const { return 0; }
  virtual bool has_parameters() const { return false; }
  // Floating-point operations per example of forward; backward costs once more for each gradient it computes.
  virtual double flops() const { return 0; }

  // Scratch memory that passes over the examples of `slices` need on a device.
  virtual int64_t workspace_bytes(const KernelContext&, const GradSlices&) const { return 0; }

  // Where the gradient of the weights is a sum of products over examples and the weights are many, the factors are few:
  // a layer may hand them on instead of partial sums. How many floats an example has of them, or 0 for a layer that
  // cannot.
  virtual int64_t operand_floats() const { return 0; }
  // Bytes that update of `examples` examples keeps from call to call.
  virtual int64_t update_scratch_bytes(int64_t /*examples*/) const { return 0; }
  // From operands to new weights and moments, on the CPU: the same bits as backward's partial sums, added along the
  // tree, and Adam. `pass` is of the global batch, its slices the whole tree.
  virtual absl::Status update(const PassContext&, const UpdateBuffers&) const {
    return absl::UnimplementedError(name_ + " has no operands");
  }

  // Weights laid out once for many forward passes, which have the same bits: how many floats, 0 for none, and the
  // layout of the flat buffer's. For the backend and on the machine of `kernel` alone.
  virtual int64_t packed_floats(const KernelContext& /*kernel*/) const { return 0; }
  virtual absl::Status pack(const KernelContext& /*kernel*/, const float* /*weights*/, float* /*packed*/) const {
    return absl::UnimplementedError(name_ + " packs nothing");
  }

  // Examples, at most, that forward with packed weights takes at once; a pass over more takes them one such group after
  // another, so several layers may as well run over one group before the next, which they then find in the cache, while
  // their weights stay there together. 0: all examples at once, since the weights come from memory once for all.
  virtual int forward_group(const KernelContext& /*kernel*/) const { return 0; }

  virtual absl::Status forward(const PassContext& pass, const ForwardBuffers& buffers) const = 0;
  virtual absl::Status backward(const PassContext& pass, const BackwardBuffers& buffers) const = 0;

 private:
  std::string name_;
  FeatureShape input_, output_;
};

}  // namespace lockstep
