// SPDX-License-Identifier: Apache-2.0
// The CUDA library of programs that are linked with the emulator: the same kernels and the same reducer, nothing to
// open. Every process has an emulated GPU of its own.
#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "kernels/cuda_device.h"
#include "kernels/cuda_library.h"
#include "kernels/device_ops_cuda.h"
#include "kernels/device_ops_cudnn.h"
#include "mpi/emu/nccl_emulator.h"
#include "mpi/nccl_grad_reducer.h"

namespace lockstep {
namespace {

absl::StatusOr<std::string> device_id(int index) { return fmt::format("emulated {}.{}", ::getpid(), index); }

absl::StatusOr<std::unique_ptr<DeviceGradReducer>> make_reducer(Communicator& communicator, GradPlan plan,
                                                                Device& device, DeviceStream stream,
                                                                const NcclReducerOptions& options) {
  emu::attach_nccl(communicator);
  return make_nccl_grad_reducer(communicator, std::move(plan), device, stream, options);
}

}  // namespace

absl::StatusOr<const CudaLibrary*> open_cuda_library() {
  static const CudaLibrary library = [] {
    CudaLibrary made;
    made.description = "emulated";
    made.device_count = cuda_device_count;
    made.device_id = device_id;
    made.make_device = make_cuda_device;
    made.cuda = &cuda_device_ops();
    made.cudnn = &cudnn_device_ops();
    made.run_ceiling = cuda::run_ceiling;
    made.sum_slices = cuda::sum_slices;
    made.emulated = true;
    made.make_nccl_grad_reducer = reinterpret_cast<void*>(&make_reducer);
    return made;
  }();
  return &library;
}

}  // namespace lockstep
