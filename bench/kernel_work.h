// SPDX-License-Identifier: Apache-2.0
// The operators that benchmarks time, at the sizes they time them at: one list for the CPU and for GPUs.
//
// Operations are counted as direct computation (those of convolutions, dense layers and sums; elsewhere they are few
// beside the bytes, and 0); bytes are what must move at least: every operand once.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/pool2d/pool2d.h"

namespace lockstep {

struct CudaLibrary;

// Where the operands of one call lie: all on the host, or all on a GPU.
struct Operands {
  std::vector<float*> floats;
  int32_t* labels = nullptr;
  uint8_t* bytes = nullptr;  // arg-max, or images
  float* out = nullptr;      // zeros before the first call
};

// One array of the results of a call; each is compared against its own largest element.
struct Result {
  std::string name;
  std::vector<float> values;
};

// One operator at one size, with the values of its operands before the first call (some operators change them).
struct KernelWork {
  static constexpr int kSlices = 8;  // of a gradient

  std::vector<std::vector<float>> floats;
  std::vector<int32_t> labels;
  std::vector<uint8_t> bytes;
  int64_t out_size = 0;  // floats
  // What `out` consists of, one behind the other; empty: one array.
  struct Part {
    std::string name;
    int64_t size = 0;
  };
  std::vector<Part> out_parts;
  // Names of the arrays of `floats` that a call changes; "" for one that it does not, as for those behind the last
  // name.
  std::vector<std::string> updated;
  // A call writes the arg-max of windows of 2 x 2 into `bytes`: values that they were taken from, on the CPU. Null:
  // none.
  std::function<std::vector<float>()> pool_input;
  Pool2dParams pool;
  double flops = 0, moved_bytes = 0;
  std::function<absl::Status(const KernelContext&, const Operands&)> run;
  // Instead of `run` on a GPU, for what the CUDA library has outside of its tables of operators; null: run.
  std::function<absl::Status(const CudaLibrary&, const KernelContext&, const Operands&)> run_by_library;
  // Bytes of workspace that it needs on a GPU, by the context's operators; null: none.
  std::function<int64_t(const KernelContext&)> workspace_bytes;
};

inline double float_bytes(int64_t floats) { return 4.0 * static_cast<double>(floats); }

struct TimedKernel {
  std::string op, shape;
  int64_t N = 0;          // examples
  int64_t checked = 2;    // of which so many are compared with the slow reference
  bool products = false;  // convolutions and dense layers: tensor cores may compute them
  bool in_cudnn = false;
  std::function<KernelWork(int64_t N)> make;  // the same operator for another number of examples
};

// The layers of the reference network (configs/models/mnist_cnn.yaml) at this batch, loss and Adam included.
std::vector<TimedKernel> reference_kernels(int64_t batch);
// A few layers that are larger.
std::vector<TimedKernel> large_kernels();
// Every operator, small enough for an emulated GPU; sizes are odd where they may be.
std::vector<TimedKernel> tiny_kernels();

// The results of a call, of arrays that lie on the host: `out` in its parts, and the updated floats. An arg-max is the
// result "arg-max": the value at each position that it names. DataLoss: a position outside its window or image.
absl::StatusOr<std::vector<Result>> results_of(const KernelWork& work, std::span<const float> out,
                                               const std::vector<std::vector<float>>& floats,
                                               std::span<const uint8_t> bytes);
// check_close of each, which DataLoss names.
absl::Status check_results(const std::vector<Result>& expected, const std::vector<Result>& got, float tolerance);

// A copy of a work's operands on the host.
class HostOperands {
 public:
  explicit HostOperands(const KernelWork& work);
  Operands operands();
  absl::StatusOr<std::vector<Result>> results(const KernelWork& work) const {
    return results_of(work, out_, floats_, bytes_);
  }

 private:
  std::vector<std::vector<float>> floats_;
  std::vector<int32_t> labels_;
  std::vector<uint8_t> bytes_;
  std::vector<float> out_;
};

}  // namespace lockstep
