// SPDX-License-Identifier: Apache-2.0
#include "tests/support/staged_device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

namespace lockstep {
namespace {

constexpr unsigned char kGuard = 0xFF;
constexpr size_t kAlignments = 64;  // an array's place modulo this is the same on the device

// Host memory in place of device memory, for what dispatchers do themselves.
class HostDevice final : public Device {
 public:
  const std::string& name() const override { return name_; }
  absl::Status fill_zero(void* memory, size_t bytes, DeviceStream) override {
    if (bytes > 0) std::memset(memory, 0, bytes);
    return absl::OkStatus();
  }
  absl::StatusOr<DeviceMemoryInfo> memory() const override { return unused(); }
  absl::StatusOr<void*> allocate(size_t) override { return unused(); }
  void release(void*) override {}
  absl::StatusOr<void*> allocate_pinned(size_t) override { return unused(); }
  void release_pinned(void*) override {}
  absl::StatusOr<DeviceStream> create_stream() override { return unused(); }
  void destroy(DeviceStream) override {}
  absl::Status copy(void*, const void*, size_t, DeviceStream) override { return unused(); }
  absl::Status synchronize(DeviceStream) override { return unused(); }
  absl::StatusOr<DeviceEvent> create_event() override { return unused(); }
  void destroy(DeviceEvent) override {}
  absl::Status record(DeviceEvent, DeviceStream) override { return unused(); }
  absl::Status wait(DeviceStream, DeviceEvent) override { return unused(); }
  absl::StatusOr<bool> happened(DeviceEvent) override { return unused(); }
  absl::StatusOr<DeviceEvent> create_timed_event() override { return unused(); }
  absl::StatusOr<double> seconds_between(DeviceEvent, DeviceEvent) override { return unused(); }
  absl::Status begin_capture(DeviceStream) override { return unused(); }
  absl::StatusOr<DeviceGraph> end_capture(DeviceStream) override { return unused(); }
  void destroy(DeviceGraph) override {}
  absl::Status launch(DeviceGraph, DeviceStream) override { return unused(); }

 private:
  static absl::Status unused() { return absl::UnimplementedError("not for the dispatchers of operators"); }
  const std::string name_ = "staged";
};

struct StagedContext : DeviceContext {
  DeviceContext real;
  size_t guard_bytes = 0;
};

// One array on the device: guard, misalignment, elements, guard.
struct Staged {
  unsigned char* host = nullptr;
  size_t front = 0, bytes = 0, back = 0;
  bool output = false;
  DeviceBuffer<unsigned char> memory;

  size_t all() const { return front + bytes + back; }
};

// One call of an operator.
class Call {
 public:
  Call(const KernelContext& ctx, int64_t workspace_bytes)
      : staged_(static_cast<const StagedContext&>(*ctx.device)), device_(staged_.real), ctx_(ctx) {
    ctx_.device = &device_;
    auto workspace = DeviceBuffer<unsigned char>::allocate(*device_.device, static_cast<size_t>(workspace_bytes));
    note(workspace.status());
    if (!workspace.ok()) return;
    workspace_ = std::move(workspace).value();
    device_.workspace = workspace_.data();
    device_.workspace_bytes = workspace_.bytes();
  }

  const KernelContext& ctx() const { return ctx_; }

  template <typename T>
  const T* in(const T* host, int64_t count) {
    return stage(const_cast<T*>(host), count, /*input=*/true, /*output=*/false);
  }
  template <typename T>
  T* out(T* host, int64_t count) {
    return stage(host, count, /*input=*/false, /*output=*/true);
  }
  template <typename T>
  T* inout(T* host, int64_t count) {
    return stage(host, count, /*input=*/true, /*output=*/true);
  }
  GradOutput out(const GradOutput& grad, int64_t size, const GradSlices& slices) {
    const auto subtrees = static_cast<int64_t>(slices.subtrees.size());
    // What lies between the partial sums must stay as it is.
    return {inout(grad.data, subtrees == 0 ? 0 : (subtrees - 1) * grad.stride + size), grad.stride};
  }

  // Whether the operator may be called.
  const absl::Status& ready() const { return status_; }

  // Waits for the operator that returned `launched`, and brings its outputs home.
  absl::Status finish(const absl::Status& launched) {
    note(launched);
    note(device_.device->synchronize(device_.stream));
    for (Staged& array : arrays_) {
      if (status_.ok()) bring_home(array);
    }
    if (!status_.ok()) ADD_FAILURE() << status_.ToString();
    return status_;
  }

 private:
  void note(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }

  template <typename T>
  T* stage(T* host, int64_t count, bool input, bool output) {
    if (host == nullptr || !status_.ok()) return nullptr;
    Staged& array = array_of(reinterpret_cast<unsigned char*>(host), static_cast<size_t>(count) * sizeof(T));
    array.output = array.output || output;
    if (input) note(copy(array.memory.data() + array.front, array.host, array.bytes));
    return reinterpret_cast<T*>(array.memory.data() + array.front);
  }

  // Two arguments that are one array on the host are one on the device.
  Staged& array_of(unsigned char* host, size_t bytes) {
    const auto known = std::find_if(arrays_.begin(), arrays_.end(), [&](const Staged& a) { return a.host == host; });
    if (known != arrays_.end()) return *known;
    Staged array{host,  staged_.guard_bytes + reinterpret_cast<uintptr_t>(host) % kAlignments,
                 bytes, staged_.guard_bytes,
                 false, {}};
    auto memory = DeviceBuffer<unsigned char>::allocate(*device_.device, array.all());
    note(memory.status());
    if (memory.ok()) array.memory = std::move(memory).value();
    const std::vector<unsigned char> guard(std::max(array.front, array.back), kGuard);
    note(copy(array.memory.data(), guard.data(), array.front));
    note(copy(array.memory.data() + array.front + array.bytes, guard.data(), array.back));
    note(device_.device->synchronize(device_.stream));
    arrays_.push_back(std::move(array));
    return arrays_.back();
  }

  absl::Status copy(void* to, const void* from, size_t bytes) {
    return bytes == 0 ? absl::OkStatus() : device_.device->copy(to, from, bytes, device_.stream);
  }

  void bring_home(Staged& array) {
    std::vector<unsigned char> all(array.all());
    note(copy(all.data(), array.memory.data(), all.size()));
    note(device_.device->synchronize(device_.stream));
    const auto is_guard = [](unsigned char byte) { return byte == kGuard; };
    const auto begin = all.begin() + static_cast<int64_t>(array.front);
    const auto end = begin + static_cast<int64_t>(array.bytes);
    if (!std::all_of(all.begin(), begin, is_guard) || !std::all_of(end, all.end(), is_guard)) {
      note(absl::InternalError("bytes beside an array on the device were overwritten"));
    }
    if (array.bytes == 0) return;
    if (array.output) {
      std::memcpy(array.host, &*begin, array.bytes);
    } else if (std::memcmp(array.host, &*begin, array.bytes) != 0) {
      note(absl::InternalError("an input on the device was written to"));
    }
  }

  const StagedContext& staged_;
  DeviceContext device_;
  KernelContext ctx_;
  DeviceBuffer<unsigned char> workspace_;
  std::vector<Staged> arrays_;
  absl::Status status_;
};

const DeviceOps& real_ops(const KernelContext& ctx) { return *static_cast<const StagedContext&>(*ctx.device).real.ops; }

int64_t in_size(const Conv2dParams& p) { return p.N * p.H * p.W * p.C; }
int64_t out_size(const Conv2dParams& p) { return p.N * p.OH() * p.OW() * p.K; }
int64_t in_size(const Pool2dParams& p) { return p.N * p.H * p.W * p.C; }
int64_t out_size(const Pool2dParams& p) { return p.N * p.OH() * p.OW() * p.C; }

int64_t conv_workspace(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool,
                       const GradSlices& slices) {
  auto* const function = real_ops(ctx).conv2d_workspace_bytes;
  return function == nullptr ? 0 : function(ctx, p, pool, slices);
}
int64_t dense_workspace(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices) {
  auto* const function = real_ops(ctx).dense_workspace_bytes;
  return function == nullptr ? 0 : function(ctx, p, slices);
}

// Stages, runs and finishes. The lambda gets the context to run with.
template <typename Run>
absl::Status complete(Call& call, const Run& run) {
  return call.finish(call.ready().ok() ? run() : absl::OkStatus());
}

absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y) {
  Call call(ctx, conv_workspace(ctx, p, nullptr, GradSlices::single(p.N)));
  const float *const dx = call.in(x, in_size(p)), *const dw = call.in(w, p.filter_size()), *const db = call.in(b, p.K);
  float* const dy = call.out(y, out_size(p));
  return complete(call, [&] { return real_ops(ctx).conv2d_fwd(call.ctx(), p, dx, dw, db, dy); });
}

absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x) {
  Call call(ctx, conv_workspace(ctx, p, nullptr, GradSlices::single(p.N)));
  const float *const dw = call.in(w, p.filter_size()), *const dy = call.in(y, out_size(p));
  const float* const dg = call.in(grad_y, out_size(p));
  float* const dx = call.out(grad_x, in_size(p));
  return complete(call, [&] { return real_ops(ctx).conv2d_bwd_data(call.ctx(), p, dw, dy, dg, dx); });
}

absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b) {
  Call call(ctx, conv_workspace(ctx, p, nullptr, slices));
  const float *const dx = call.in(x, in_size(p)), *const dy = call.in(y, out_size(p));
  const float* const dg = call.in(grad_y, out_size(p));
  const GradOutput dw = call.out(grad_w, p.filter_size(), slices), db = call.out(grad_b, p.K, slices);
  return complete(call, [&] { return real_ops(ctx).conv2d_bwd_filter(call.ctx(), p, slices, dx, dy, dg, dw, db); });
}

absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax) {
  Call call(ctx, conv_workspace(ctx, p, &pool, GradSlices::single(p.N)));
  const float *const dx = call.in(x, in_size(p)), *const dw = call.in(w, p.filter_size()), *const db = call.in(b, p.K);
  float* const dy = call.out(y, out_size(pool));
  uint8_t* const da = call.out(argmax, out_size(pool));
  return complete(call, [&] { return real_ops(ctx).conv2d_pool_fwd(call.ctx(), p, pool, dx, dw, db, dy, da); });
}

absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x) {
  Call call(ctx, conv_workspace(ctx, p, &pool, GradSlices::single(p.N)));
  const float *const dw = call.in(w, p.filter_size()), *const dy = call.in(y, out_size(pool));
  const uint8_t* const da = call.in(argmax, out_size(pool));
  const float* const dg = call.in(grad_y, out_size(pool));
  float* const dx = call.out(grad_x, in_size(p));
  return complete(call, [&] { return real_ops(ctx).conv2d_pool_bwd_data(call.ctx(), p, pool, dw, dy, da, dg, dx); });
}

absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  Call call(ctx, conv_workspace(ctx, p, &pool, slices));
  const float *const dx = call.in(x, in_size(p)), *const dy = call.in(y, out_size(pool));
  const uint8_t* const da = call.in(argmax, out_size(pool));
  const float* const dg = call.in(grad_y, out_size(pool));
  const GradOutput dw = call.out(grad_w, p.filter_size(), slices), db = call.out(grad_b, p.K, slices);
  return complete(
      call, [&] { return real_ops(ctx).conv2d_pool_bwd_filter(call.ctx(), p, pool, slices, dx, dy, da, dg, dw, db); });
}

absl::Status pool2d_max_fwd(const KernelContext& ctx, const Pool2dParams& p, const float* x, float* y,
                            uint8_t* argmax) {
  Call call(ctx, 0);
  const float* const dx = call.in(x, in_size(p));
  float* const dy = call.out(y, out_size(p));
  uint8_t* const da = call.out(argmax, out_size(p));
  return complete(call, [&] { return real_ops(ctx).pool2d_max_fwd(call.ctx(), p, dx, dy, da); });
}

absl::Status pool2d_max_bwd(const KernelContext& ctx, const Pool2dParams& p, const uint8_t* argmax, const float* grad_y,
                            float* grad_x) {
  Call call(ctx, 0);
  const uint8_t* const da = call.in(argmax, out_size(p));
  const float* const dg = call.in(grad_y, out_size(p));
  float* const dx = call.out(grad_x, in_size(p));
  return complete(call, [&] { return real_ops(ctx).pool2d_max_bwd(call.ctx(), p, da, dg, dx); });
}

absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y) {
  Call call(ctx, dense_workspace(ctx, p, GradSlices::single(p.N)));
  const float *const dx = call.in(x, p.N * p.I), *const dw = call.in(w, int64_t{p.I} * p.O);
  const float* const db = call.in(b, p.O);
  float* const dy = call.out(y, p.N * p.O);
  return complete(call, [&] { return real_ops(ctx).dense_fwd(call.ctx(), p, dx, dw, db, dy); });
}

absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x) {
  Call call(ctx, dense_workspace(ctx, p, GradSlices::single(p.N)));
  const float *const dw = call.in(w, int64_t{p.I} * p.O), *const dy = call.in(y, p.N * p.O);
  const float* const dg = call.in(grad_y, p.N * p.O);
  float* const dx = call.out(grad_x, p.N * p.I);
  return complete(call, [&] { return real_ops(ctx).dense_bwd_data(call.ctx(), p, dw, dy, dg, dx); });
}

absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  Call call(ctx, dense_workspace(ctx, p, slices));
  const float *const dx = call.in(x, p.N * p.I), *const dy = call.in(y, p.N * p.O);
  const float* const dg = call.in(grad_y, p.N * p.O);
  const GradOutput dw = call.out(grad_w, int64_t{p.I} * p.O, slices), db = call.out(grad_b, p.O, slices);
  return complete(call, [&] { return real_ops(ctx).dense_bwd_filter(call.ctx(), p, slices, dx, dy, dg, dw, db); });
}

absl::Status dropout_fwd(const KernelContext& ctx, const DropoutParams& p, const float* x, float* y) {
  Call call(ctx, 0);
  const float* const dx = call.in(x, p.N * p.units);
  float* const dy = call.out(y, p.N * p.units);
  return complete(call, [&] { return real_ops(ctx).dropout_fwd(call.ctx(), p, dx, dy); });
}

absl::Status dropout_bwd(const KernelContext& ctx, const DropoutParams& p, const float* grad_y, float* grad_x) {
  Call call(ctx, 0);
  const float* const dg = call.in(grad_y, p.N * p.units);
  float* const dx = call.out(grad_x, p.N * p.units);
  return complete(call, [&] { return real_ops(ctx).dropout_bwd(call.ctx(), p, dg, dx); });
}

absl::Status softmax_xent(const KernelContext& ctx, const SoftmaxXentParams& p, const float* logits,
                          const int32_t* labels, float* loss, float* probabilities, float* grad_logits) {
  auto* const workspace = real_ops(ctx).softmax_xent_workspace_bytes;
  Call call(ctx, workspace == nullptr ? 0 : workspace(ctx, p.N, p.C));
  const float* const dx = call.in(logits, p.N * p.C);
  const int32_t* const dl = call.in(labels, p.N);
  float* const d_loss = call.out(loss, p.N);
  float *const dp = call.out(probabilities, p.N * p.C), *const dg = call.out(grad_logits, p.N * p.C);
  return complete(call, [&] { return real_ops(ctx).softmax_xent(call.ctx(), p, dx, dl, d_loss, dp, dg); });
}

absl::Status softmax(const KernelContext& ctx, int64_t N, int C, const float* logits, float* probabilities) {
  Call call(ctx, 0);
  const float* const dx = call.in(logits, N * C);
  float* const dp = call.out(probabilities, N * C);
  return complete(call, [&] { return real_ops(ctx).softmax(call.ctx(), N, C, dx, dp); });
}

absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w) {
  Call call(ctx, 0);
  std::vector<GradTerm> staged_terms;
  for (const GradTerm& term : terms) staged_terms.push_back({call.in(term.data, count), term.slices});
  float *const dm = call.inout(m, count), *const dv = call.inout(v, count), *const dw = call.inout(w, count);
  return complete(call, [&] { return real_ops(ctx).adam_update(call.ctx(), p, count, staged_terms, dm, dv, dw); });
}

absl::Status scale_images(const KernelContext& ctx, int64_t count, const uint8_t* bytes, float* x) {
  Call call(ctx, 0);
  const uint8_t* const db = call.in(bytes, count);
  float* const dx = call.out(x, count);
  return complete(call, [&] { return real_ops(ctx).scale_images(call.ctx(), count, db, dx); });
}

const DeviceOps kStagedOps{
    conv2d_fwd,     conv2d_bwd_data, conv2d_bwd_filter, conv2d_pool_fwd, conv2d_pool_bwd_data, conv2d_pool_bwd_filter,
    pool2d_max_fwd, pool2d_max_bwd,  dense_fwd,         dense_bwd_data,  dense_bwd_filter,     dropout_fwd,
    dropout_bwd,    softmax_xent,    softmax,           adam_update,     scale_images};

}  // namespace

struct StagedDevice::State {
  HostDevice host;
  StagedContext context;
};

StagedDevice::StagedDevice(const DeviceContext& real, size_t guard_bytes) : state_(std::make_unique<State>()) {
  StagedContext& context = state_->context;
  static_cast<DeviceContext&>(context) = real;
  context.real = real;
  context.guard_bytes = guard_bytes;
  context.device = &state_->host;
  context.ops = &kStagedOps;
}

StagedDevice::~StagedDevice() = default;

const DeviceContext& StagedDevice::context() const { return state_->context; }

}  // namespace lockstep
