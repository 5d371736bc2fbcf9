// SPDX-License-Identifier: Apache-2.0
// Which convolutions cuDNN is asked for, and which of its engines may compute them: the decisions, free of its calls.
//
// Lockstep arithmetic needs more of a library than it promises. An engine must be deterministic, and an example's
// result must not depend on its neighbours in the batch; but cuDNN's heuristics choose by the whole shape, batch
// included. So whether cuDNN does a layer's pass at all is decided once, at a batch of kTypicalExamples: the first
// engine that builds a plan there. Forward and input gradient keep that engine and its settings for every batch. A
// filter gradient is computed slice by slice, and the size of a slice does not depend on the number of ranks: there the
// engine may be the best one for that size. A batch or slice without a plan is then an error; anything that stood in
// for it would make results depend on how examples are dealt to ranks.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "kernels/conv2d/conv2d.h"

namespace lockstep::cudnn {

enum class ConvPass { kForward, kInputGrad, kFilterGrad };

// A tensor as cuDNN sees it: sizes (n, c, h, w), whatever their order in memory, and strides in elements.
struct ConvTensor {
  int64_t id = 0;  // unique in its graph
  std::array<int64_t, 4> dims{}, strides{};
  int64_t alignment = 16;  // bytes; what every pointer to it must be a multiple of
  auto operator<=>(const ConvTensor&) const = default;
};

// One convolution, which is also the key of its plan.
struct ConvTask {
  ConvPass pass = ConvPass::kForward;
  ConvTensor x;  // (N, C, H, W), in memory NHWC
  ConvTensor w;  // (K, C, R, S), in memory KRSC
  ConvTensor y;  // (N, K, OH, OW), in memory NHWC
  std::array<int64_t, 2> pad_before{}, pad_after{}, stride{};
  auto operator<=>(const ConvTask&) const = default;
};

// Sizes (n, c, h, w) whose order in memory is n, h, w, c.
constexpr ConvTensor channels_last(int64_t id, int64_t n, int64_t c, int64_t h, int64_t w, int64_t alignment) {
  return {id, {n, c, h, w}, {h * w * c, 1, w * c, c}, alignment};
}

// What arrays of the layer are multiples of: 16 bytes, which tensor cores want, where the sizes keep that from image to
// image. So it does not depend on which example a slice or a rank begins with.
inline int64_t alignment_of(const Conv2dParams& p) {
  return int64_t{p.H} * p.W * p.C % 4 == 0 && int64_t{p.OH()} * p.OW() * p.K % 4 == 0 ? 16 : 4;
}

inline ConvTask conv_task(ConvPass pass, const Conv2dParams& p) {
  const WindowDim h = p.dim_h(), w = p.dim_w();
  ConvTask task;
  task.pass = pass;
  task.x = channels_last('x', p.N, p.C, p.H, p.W, alignment_of(p));
  task.w = channels_last('w', p.K, p.C, p.R, p.S, 4);
  task.y = channels_last('y', p.N, p.K, h.out, w.out, alignment_of(p));
  task.pad_before = {h.pad_before, w.pad_before};
  task.pad_after = {h.pad_after, w.pad_after};
  task.stride = {p.stride, p.stride};
  // Filters lie in the workspace; of their gradients each slice's begins where the last one's ends.
  task.w.alignment = pass != ConvPass::kFilterGrad || p.filter_size() % 4 == 0 ? 16 : 4;
  return task;
}

// The batch at which is decided what must not depend on the batch.
constexpr int64_t kTypicalExamples = 64;
inline ConvTask at_typical_batch(ConvTask task) {
  task.x.dims[0] = task.y.dims[0] = kTypicalExamples;
  return task;
}
// Whether each batch (size of a slice) has an engine of its own.
constexpr bool engine_by_own_batch(ConvPass pass) { return pass == ConvPass::kFilterGrad; }

// What cuDNN notes about an engine's arithmetic.
struct EngineNotes {
  bool tensor_core = false;        // with float arrays: TF32 products
  bool down_convert = false;       // inputs become half precision
  bool reduced_reduction = false;  // sums in less than float
  bool fft = false;
  bool winograd = false;
  bool nondeterministic = false;
};

struct EngineRules {
  bool tensor_cores = false;
  // The same layers that the CPU transforms, whose tolerance allows for it.
  bool winograd = false;
};

constexpr bool may_run(const EngineNotes& notes, const EngineRules& rules) {
  if (notes.nondeterministic || notes.down_convert || notes.reduced_reduction || notes.fft) return false;
  return (rules.tensor_cores || !notes.tensor_core) && (rules.winograd || !notes.winograd);
}

// A negative setting leaves the choice to the engine, which would look at the batch again (how many parts to split a
// sum into).
constexpr bool is_settled(int64_t knob_value) { return knob_value >= 0; }

// Hands out parts of a workspace, each a multiple of 256 bytes. Without memory it only counts: the same code says what
// an operator needs and where it finds it.
class ScratchSpace {
 public:
  explicit ScratchSpace(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}

  template <typename T>
  T* take(int64_t count) {
    char* const part = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
    return reinterpret_cast<T*>(part);
  }
  int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_ = 0;
};

}  // namespace lockstep::cudnn
