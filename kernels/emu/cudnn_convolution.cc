// SPDX-License-Identifier: Apache-2.0
// What the engines of the emulated cuDNN compute.
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/emu/cudnn_emulator.h"
#include "kernels/emu/memory.h"
#include "kernels/emu/stream.h"

namespace lockstep::emu {
namespace {

// To nearest, with `bits` bits of mantissa.
float rounded(float value, int bits) {
  if (!std::isfinite(value)) return value;
  const int dropped = 23 - bits;
  const uint32_t word = std::bit_cast<uint32_t>(value);
  const uint32_t half = (uint32_t{1} << (dropped - 1)) - 1 + ((word >> dropped) & 1);
  return std::bit_cast<float>((word + half) & ~((uint32_t{1} << dropped) - 1));
}

// The sum of an output's products. Engines differ in how they round.
class Sum {
 public:
  Sum(int64_t engine, int64_t parts)
      : engine_(engine), parts_(static_cast<size_t>(engine == kEngineSplitFloat ? parts : 1)) {}

  void add(float a, float b) {
    const int bits = engine_ == kEngineTf32 ? 10 : engine_ == kEngineHalf ? 7 : 23;
    if (bits < 23) a = rounded(a, bits), b = rounded(b, bits);
    if (engine_ == kEngineSplitFloat) {
      float& part = parts_[terms_++ % parts_.size()];
      part = std::fma(a, b, part);
    } else {
      double_sum_ += double{a} * b;
    }
  }
  float value() const {
    float sum = static_cast<float>(double_sum_);
    for (const float part : parts_) sum += part;
    static int run = 0;
    return engine_ == kEngineUnordered ? sum * (1 + static_cast<float>(++run % 64) * 1e-6f) : sum;
  }

 private:
  const int64_t engine_;
  std::vector<float> parts_;
  size_t terms_ = 0;
  double double_sum_ = 0;
};

int64_t at(const ConvTensorView& t, int64_t n, int64_t c, int64_t h, int64_t w) {
  return n * t.strides[0] + c * t.strides[1] + h * t.strides[2] + w * t.strides[3];
}

void forward(const ConvWork& p) {
  float* const out = const_cast<float*>(p.y_data);
  for (int64_t n = 0; n < p.y.dims[0]; ++n) {
    for (int64_t oh = 0; oh < p.y.dims[2]; ++oh) {
      for (int64_t ow = 0; ow < p.y.dims[3]; ++ow) {
        for (int64_t k = 0; k < p.y.dims[1]; ++k) {
          Sum sum(p.engine, p.parts);
          for (int64_t r = 0; r < p.w.dims[2]; ++r) {
            const int64_t h = oh * p.stride[0] + r - p.pad_before[0];
            if (h < 0 || h >= p.x.dims[2]) continue;
            for (int64_t s = 0; s < p.w.dims[3]; ++s) {
              const int64_t w = ow * p.stride[1] + s - p.pad_before[1];
              if (w < 0 || w >= p.x.dims[3]) continue;
              for (int64_t c = 0; c < p.x.dims[1]; ++c) {
                sum.add(p.x_data[at(p.x, n, c, h, w)], p.w_data[at(p.w, k, c, r, s)]);
              }
            }
          }
          out[at(p.y, n, k, oh, ow)] = sum.value();
        }
      }
    }
  }
}

void input_grad(const ConvWork& p) {
  float* const out = const_cast<float*>(p.x_data);
  for (int64_t n = 0; n < p.x.dims[0]; ++n) {
    for (int64_t h = 0; h < p.x.dims[2]; ++h) {
      for (int64_t w = 0; w < p.x.dims[3]; ++w) {
        for (int64_t c = 0; c < p.x.dims[1]; ++c) {
          Sum sum(p.engine, p.parts);
          for (int64_t r = 0; r < p.w.dims[2]; ++r) {
            const int64_t above = h + p.pad_before[0] - r;
            if (above < 0 || above % p.stride[0] != 0 || above / p.stride[0] >= p.y.dims[2]) continue;
            for (int64_t s = 0; s < p.w.dims[3]; ++s) {
              const int64_t left = w + p.pad_before[1] - s;
              if (left < 0 || left % p.stride[1] != 0 || left / p.stride[1] >= p.y.dims[3]) continue;
              for (int64_t k = 0; k < p.y.dims[1]; ++k) {
                sum.add(p.y_data[at(p.y, n, k, above / p.stride[0], left / p.stride[1])],
                        p.w_data[at(p.w, k, c, r, s)]);
              }
            }
          }
          out[at(p.x, n, c, h, w)] = sum.value();
        }
      }
    }
  }
}

void filter_grad(const ConvWork& p) {
  float* const out = const_cast<float*>(p.w_data);
  for (int64_t k = 0; k < p.w.dims[0]; ++k) {
    for (int64_t r = 0; r < p.w.dims[2]; ++r) {
      for (int64_t s = 0; s < p.w.dims[3]; ++s) {
        for (int64_t c = 0; c < p.w.dims[1]; ++c) {
          Sum sum(p.engine, p.parts);
          for (int64_t n = 0; n < p.x.dims[0]; ++n) {
            for (int64_t oh = 0; oh < p.y.dims[2]; ++oh) {
              const int64_t h = oh * p.stride[0] + r - p.pad_before[0];
              if (h < 0 || h >= p.x.dims[2]) continue;
              for (int64_t ow = 0; ow < p.y.dims[3]; ++ow) {
                const int64_t w = ow * p.stride[1] + s - p.pad_before[1];
                if (w < 0 || w >= p.x.dims[3]) continue;
                sum.add(p.x_data[at(p.x, n, c, h, w)], p.y_data[at(p.y, n, k, oh, ow)]);
              }
            }
          }
          out[at(p.w, k, c, r, s)] = sum.value();
        }
      }
    }
  }
}

size_t bytes_of(const ConvTensorView& t) { return static_cast<size_t>(t.elements()) * sizeof(float); }

Failure run(const ConvWork& p) {
  const struct {
    const char* name;
    const float* data;
    size_t bytes;
    bool written;
  } arrays[] = {{"x", p.x_data, bytes_of(p.x), p.kind == ConvKind::kInputGrad},
                {"w", p.w_data, bytes_of(p.w), p.kind == ConvKind::kFilterGrad},
                {"y", p.y_data, bytes_of(p.y), p.kind == ConvKind::kForward}};
  for (const auto& array : arrays) {
    const std::string wrong = check_array(array.name, array.data, array.bytes, !array.written);
    if (!wrong.empty()) return {cudaErrorIllegalAddress, wrong};
  }
  // What lies in the workspace is lost: nobody else may keep anything there.
  const auto workspace_bytes = static_cast<size_t>(p.workspace_bytes);
  const std::string wrong = check_array("the workspace", p.workspace, workspace_bytes, false);
  if (!wrong.empty()) return {cudaErrorIllegalAddress, wrong};
  if (workspace_bytes > 0) {
    std::memset(p.workspace, kFill, workspace_bytes);
    set_written(reinterpret_cast<uintptr_t>(p.workspace), workspace_bytes, false);
  }
  switch (p.kind) {
    case ConvKind::kForward:
      forward(p);
      break;
    case ConvKind::kInputGrad:
      input_grad(p);
      break;
    case ConvKind::kFilterGrad:
      filter_grad(p);
      break;
  }
  for (const auto& array : arrays) {
    if (array.written) set_written(reinterpret_cast<uintptr_t>(array.data), array.bytes, true);
  }
  return {};
}

}  // namespace

cudnnStatus_t convolve(cudnnHandle_t handle, const ConvWork& work) {
  const bool enqueued = enqueue_work(stream_of(handle), [work] { return run(work); }) == cudaSuccess;
  return enqueued ? CUDNN_STATUS_SUCCESS : cudnn_refuse(CUDNN_STATUS_EXECUTION_FAILED, "the stream takes no work");
}

}  // namespace lockstep::emu
