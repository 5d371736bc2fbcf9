// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_cuda_library.h"

#include <fmt/format.h>

#include <mutex>

#include "kernels/cuda_library.h"
#include "mpi/emu/nccl_emulator.h"
#include "mpi/nccl_grad_reducer.h"

namespace lockstep {
namespace {

std::mutex mutex;

class CountingDevice : public FakeDevice {
 public:
  using FakeDevice::FakeDevice;
  ~CountingDevice() override {
    const std::lock_guard lock(mutex);
    fake_cuda_library().launches += launches();
  }
};

absl::StatusOr<int> device_count() {
  LOCKSTEP_RETURN_IF_ERROR(fake_cuda_library().device_count_error);
  return fake_cuda_library().devices;
}

absl::StatusOr<std::string> device_id(int index) {
  return fake_cuda_library().same_device ? "the only GPU" : fmt::format("GPU {}", index);
}

absl::StatusOr<std::unique_ptr<Device>> make_device(int) {
  return std::make_unique<CountingDevice>(fake_cuda_library().device);
}

absl::StatusOr<std::unique_ptr<DeviceGradReducer>> make_reducer(Communicator& communicator, GradPlan plan,
                                                                Device& device, DeviceStream stream,
                                                                const NcclReducerOptions& options) {
  emu::attach_nccl(communicator);
  NcclReducerOptions hasty = options;
  hasty.connect_timeout_s = fake_cuda_library().nccl_timeout_s;
  return make_nccl_grad_reducer(communicator, std::move(plan), device, stream, hasty);
}

}  // namespace

FakeCudaLibrary& fake_cuda_library() {
  static FakeCudaLibrary library;
  return library;
}

absl::StatusOr<const CudaLibrary*> open_cuda_library() {
  thread_local CudaLibrary library;  // ranks are threads
  LOCKSTEP_RETURN_IF_ERROR(fake_cuda_library().open_error);
  library.description = "fake";
  library.device_count = device_count;
  library.device_id = device_id;
  library.make_device = make_device;
  library.cuda = &fake_device_ops();
  library.cudnn = fake_cuda_library().has_cudnn ? &fake_device_ops() : nullptr;
  library.make_nccl_grad_reducer = fake_cuda_library().has_nccl ? reinterpret_cast<void*>(&make_reducer) : nullptr;
  return &library;
}

}  // namespace lockstep

bool lockstep::emu::enqueue_on_stream(void* stream, std::function<absl::Status()> work) {
  return FakeDevice::enqueue({stream}, std::move(work)).ok();
}
