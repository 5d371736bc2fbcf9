// SPDX-License-Identifier: Apache-2.0
// The emulated cuDNN's handle, errors, max-pool and softmax.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/emu/cudnn_emulator.h"
#include "kernels/emu/memory.h"
#include "kernels/emu/stream.h"

// NOLINTBEGIN: the names are cuDNN's.
struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  int64_t n = 0, c = 0, h = 0, w = 0;
  bool channels_last = false;
  int64_t at(int64_t in, int64_t ic, int64_t ih, int64_t iw) const {
    return channels_last ? ((in * h + ih) * w + iw) * c + ic : ((in * c + ic) * h + ih) * w + iw;
  }
  size_t bytes() const { return static_cast<size_t>(n * c * h * w) * sizeof(float); }
};
struct cudnnPoolingStruct {
  int window_h = 0, window_w = 0, pad_h = 0, pad_w = 0, stride_h = 0, stride_w = 0;
  bool propagate_nan = false;
};
// NOLINTEND

namespace lockstep::emu {
namespace {

CudnnFault current_fault = CudnnFault::kNone;
int64_t fault_batch = 0;
thread_local std::string last_error;

bool scaled(const void* alpha, const void* beta) {
  return *static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0;
}

struct PoolWork {
  cudnnPoolingStruct pooling;
  cudnnTensorStruct x, y;
  const float* from;
  float* to;
};

float window_maximum(const PoolWork& p, int64_t n, int64_t c, int64_t oh, int64_t ow) {
  float best = -std::numeric_limits<float>::infinity();
  for (int r = 0; r < p.pooling.window_h; ++r) {
    for (int s = 0; s < p.pooling.window_w; ++s) {
      const int64_t h = oh * p.pooling.stride_h + r - p.pooling.pad_h;
      const int64_t w = ow * p.pooling.stride_w + s - p.pooling.pad_w;
      if (h < 0 || h >= p.x.h || w < 0 || w >= p.x.w) continue;
      const float value = p.from[p.x.at(n, c, h, w)];
      if (std::isnan(value) && p.pooling.propagate_nan) return value;
      best = value > best ? value : best;
    }
  }
  return best;
}

Failure run_pool(const PoolWork& p) {
  for (const std::string& wrong :
       {check_array("x", p.from, p.x.bytes(), true), check_array("y", p.to, p.y.bytes(), false)}) {
    if (!wrong.empty()) return {cudaErrorIllegalAddress, wrong};
  }
  for (int64_t n = 0; n < p.y.n; ++n) {
    for (int64_t c = 0; c < p.y.c; ++c) {
      for (int64_t h = 0; h < p.y.h; ++h) {
        for (int64_t w = 0; w < p.y.w; ++w) p.to[p.y.at(n, c, h, w)] = window_maximum(p, n, c, h, w);
      }
    }
  }
  set_written(reinterpret_cast<uintptr_t>(p.to), p.y.bytes(), true);
  return {};
}

struct SoftmaxWork {
  bool logarithm;
  int64_t rows, columns;
  const float* from;
  float* to;
};

// In floats, the maximum subtracted. As on a GPU, fmax drops a NaN, the sum does not.
Failure run_softmax(const SoftmaxWork& p) {
  const size_t bytes = static_cast<size_t>(p.rows * p.columns) * sizeof(float);
  for (const std::string& wrong : {check_array("x", p.from, bytes, true), check_array("y", p.to, bytes, false)}) {
    if (!wrong.empty()) return {cudaErrorIllegalAddress, wrong};
  }
  for (int64_t row = 0; row < p.rows; ++row) {
    const float* const in = p.from + row * p.columns;
    float* const out = p.to + row * p.columns;
    float maximum = -std::numeric_limits<float>::infinity(), sum = 0;
    for (int64_t i = 0; i < p.columns; ++i) maximum = std::fmax(maximum, in[i]);
    for (int64_t i = 0; i < p.columns; ++i) sum += std::exp(in[i] - maximum);
    for (int64_t i = 0; i < p.columns; ++i) {
      const float shifted = in[i] - maximum;
      out[i] = p.logarithm ? shifted - std::log(sum) : std::exp(shifted) / sum;
    }
  }
  set_written(reinterpret_cast<uintptr_t>(p.to), bytes, true);
  return {};
}

cudnnStatus_t enqueue(cudnnHandle_t handle, Work work) {
  const bool enqueued = enqueue_work(handle->stream, std::move(work)) == cudaSuccess;
  return enqueued ? CUDNN_STATUS_SUCCESS : cudnn_refuse(CUDNN_STATUS_EXECUTION_FAILED, "the stream takes no work");
}

}  // namespace

void break_cudnn(CudnnFault fault, int64_t batch) {
  current_fault = fault;
  fault_batch = batch;
}
CudnnFault cudnn_fault() { return current_fault; }
int64_t cudnn_fault_batch() { return fault_batch; }

cudnnStatus_t cudnn_refuse(cudnnStatus_t status, std::string why) {
  last_error = std::move(why);
  return status;
}

cudaStream_t stream_of(cudnnHandle_t handle) { return handle->stream; }

std::string check_array(const char* name, const void* data, size_t bytes, bool read) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  if (bytes == 0) return "";
  if (!all_valid(begin, bytes)) {
    return fmt::format("cuDNN: {} of {} bytes at {}: {}", name, bytes, data, describe(data));
  }
  if (kHooked && read && !all_written(begin, bytes))
    return fmt::format("cuDNN reads {}, which nobody wrote all of", name);
  return "";
}

}  // namespace lockstep::emu

// NOLINTBEGIN: the names are cuDNN's.
using namespace lockstep::emu;

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
      return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_NOT_SUPPORTED_SHAPE:
      return "CUDNN_STATUS_NOT_SUPPORTED_SHAPE";
    case CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED:
    case CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED:
      return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
      return "CUDNN_STATUS_BAD_PARAM";
  }
}

void cudnnGetLastErrorString(char* message, size_t max_size) {
  const size_t size = std::min(last_error.size(), max_size == 0 ? 0 : max_size - 1);
  std::memcpy(message, last_error.data(), size);
  if (max_size > 0) message[size] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  if (handle == nullptr) return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no handle");
  if (cudnn_fault() == CudnnFault::kNoHandle) return cudnn_refuse(CUDNN_STATUS_NOT_INITIALIZED, "the handle is gone");
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* tensor) {
  *tensor = new cudnnTensorStruct;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor) {
  delete tensor;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w) {
  if (tensor == nullptr || n < 1 || c < 1 || h < 1 || w < 1)
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, fmt::format("a tensor of ({}, {}, {}, {})", n, c, h, w));
  if (type != CUDNN_DATA_FLOAT) return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "the emulated cuDNN has floats only");
  *tensor = {n, c, h, w, format == CUDNN_TENSOR_NHWC};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreatePoolingDescriptor(cudnnPoolingDescriptor_t* pooling) {
  *pooling = new cudnnPoolingStruct;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyPoolingDescriptor(cudnnPoolingDescriptor_t pooling) {
  delete pooling;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetPooling2dDescriptor(cudnnPoolingDescriptor_t pooling, cudnnPoolingMode_t mode,
                                          cudnnNanPropagation_t nan, int window_h, int window_w, int pad_h, int pad_w,
                                          int stride_h, int stride_w) {
  if (pooling == nullptr || window_h < 1 || window_w < 1 || pad_h < 0 || pad_w < 0 || stride_h < 1 || stride_w < 1)
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "sizes of a pool that make no sense");
  if (mode != CUDNN_POOLING_MAX)
    return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "the emulated cuDNN has max-pools only");
  *pooling = {window_h, window_w, pad_h, pad_w, stride_h, stride_w, nan == CUDNN_PROPAGATE_NAN};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnPoolingForward(cudnnHandle_t handle, cudnnPoolingDescriptor_t pooling, const void* alpha,
                                  cudnnTensorDescriptor_t x_tensor, const void* x, const void* beta,
                                  cudnnTensorDescriptor_t y_tensor, void* y) {
  if (cudnn_fault() == CudnnFault::kNoPooling) return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "no pools today");
  if (scaled(alpha, beta)) return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "alpha is not 1, or beta is not 0");
  const auto out = [](int64_t in, int window, int pad, int stride) { return 1 + (in + 2 * pad - window) / stride; };
  if (x_tensor->n != y_tensor->n || x_tensor->c != y_tensor->c ||
      y_tensor->h != out(x_tensor->h, pooling->window_h, pooling->pad_h, pooling->stride_h) ||
      y_tensor->w != out(x_tensor->w, pooling->window_w, pooling->pad_w, pooling->stride_w))
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "the pool's output has other sizes");
  const PoolWork work{*pooling, *x_tensor, *y_tensor, static_cast<const float*>(x), static_cast<float*>(y)};
  return enqueue(handle, [work] { return run_pool(work); });
}

cudnnStatus_t cudnnSoftmaxForward(cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algorithm, cudnnSoftmaxMode_t mode,
                                  const void* alpha, cudnnTensorDescriptor_t x_tensor, const void* x, const void* beta,
                                  cudnnTensorDescriptor_t y_tensor, void* y) {
  if (scaled(alpha, beta)) return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "alpha is not 1, or beta is not 0");
  if (mode != CUDNN_SOFTMAX_MODE_INSTANCE || algorithm == CUDNN_SOFTMAX_FAST)
    return cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "the emulated cuDNN has no such softmax");
  if (x_tensor->bytes() != y_tensor->bytes() || x_tensor->n != y_tensor->n)
    return cudnn_refuse(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "the softmax's output has other sizes");
  const int64_t columns = x_tensor->c * x_tensor->h * x_tensor->w;
  const SoftmaxWork work{algorithm == CUDNN_SOFTMAX_LOG, x_tensor->n, columns, static_cast<const float*>(x),
                         static_cast<float*>(y)};
  return enqueue(handle, [work] { return run_softmax(work); });
}
// NOLINTEND
