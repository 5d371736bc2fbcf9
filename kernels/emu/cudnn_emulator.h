// SPDX-License-Identifier: Apache-2.0
// The emulated cuDNN: what its engines are, what tests learn of its work, and how they break it.
//
// For each convolution the heuristics offer, best first: an engine that gives other bits at each run, one that rounds
// inputs to half precision, one with TF32 products, one that is noted as Winograd's (stride 1, filters of 3 or 5), and
// one that sums in floats, in parts whose number it chooses by the batch, and the same one with the number as a knob,
// which the heuristics derive from the batch; the real ones may do both. Whoever lets an engine through that the rules
// forbid, or takes the knob of another batch, gets other numbers. The fallback sums in double. Uneven padding has no
// engine. Wrong use of a call (types, order, lifetime, shapes, alignment, memory that does not exist or was never
// written) is an error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/emu/cudnn.h"

namespace lockstep::emu {

enum CudnnEngine : int64_t {
  kEngineFallback = 0,
  kEngineSplitFloat = 5,
  kEngineTf32 = 9,
  kEngineUnordered = 17,
  kEngineHalf = 23,
  kEngineWinograd = 31,
};

enum class CudnnFault {
  kNone,
  kNoHandle,          // cudnnSetStream says that cuDNN is not initialized
  kNoEngine,          // heuristics recommend nothing
  kNoPlan,            // plans are not finalized, all engines say that the shape is not theirs
  kNoMemory,          // … for want of memory
  kNoPlanFromBatch,   // … that the batch is not theirs, from `batch` examples on
  kNoSplitFromBatch,  // … only kEngineSplitFloat does
  kRunFails,          // cudnnBackendExecute fails
  kNoPooling,         // cudnnPoolingForward is not supported
};
void break_cudnn(CudnnFault fault, int64_t batch = 0);

// Engines of the convolutions that were enqueued since the last call.
std::vector<int64_t> take_cudnn_engines();

// ---- Among the parts of the emulated cuDNN.

CudnnFault cudnn_fault();
int64_t cudnn_fault_batch();
// Remembers the text for cudnnGetLastErrorString.
cudnnStatus_t cudnn_refuse(cudnnStatus_t status, std::string why);
cudaStream_t stream_of(cudnnHandle_t handle);

// An array that enqueued work reads or writes. The text says what is wrong with it: it does not lie in memory, or holds
// what nobody wrote; empty if nothing is.
std::string check_array(const char* name, const void* data, size_t bytes, bool read);

struct ConvTensorView {
  int64_t id = 0, alignment = 0;
  int64_t dims[4] = {}, strides[4] = {};
  int64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
};
enum class ConvKind { kForward, kInputGrad, kFilterGrad };
struct ConvWork {
  ConvKind kind = ConvKind::kForward;
  ConvTensorView x, w, y;
  int64_t pad_before[2] = {}, pad_after[2] = {}, stride[2] = {};
  int64_t engine = 0, parts = 1;
  const float* x_data = nullptr;
  const float* w_data = nullptr;
  const float* y_data = nullptr;
  char* workspace = nullptr;
  int64_t workspace_bytes = 0;
};
// Enqueues it.
cudnnStatus_t convolve(cudnnHandle_t handle, const ConvWork& work);

}  // namespace lockstep::emu
