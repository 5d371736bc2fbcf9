// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda_device.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <utility>

#include "core/base/log.h"
#include "kernels/cuda_check.h"

namespace lockstep {
namespace {

cudaStream_t native(DeviceStream stream) { return static_cast<cudaStream_t>(stream.native); }
cudaEvent_t native(DeviceEvent event) { return static_cast<cudaEvent_t>(event.native); }
cudaGraphExec_t native(DeviceGraph graph) { return static_cast<cudaGraphExec_t>(graph.native); }

// For calls whose caller cannot be told.
void log_failure(int error, std::string_view call) {
  if (const absl::Status status = cuda_status(error, call); !status.ok()) {
    LOG_WARNING("{}", std::string(status.message()));
  }
}

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(std::string name) : name_(std::move(name)) {}

  const std::string& name() const override { return name_; }

  absl::StatusOr<DeviceMemoryInfo> memory() const override {
    size_t free_bytes = 0, total_bytes = 0;
    LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaMemGetInfo(&free_bytes, &total_bytes));
    return DeviceMemoryInfo{static_cast<int64_t>(free_bytes), static_cast<int64_t>(total_bytes)};
  }

  absl::StatusOr<void*> allocate(size_t bytes) override {
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) return out_of_memory(bytes);
    LOCKSTEP_RETURN_IF_ERROR(cuda_status(error, fmt::format("cudaMalloc of {} bytes", bytes)));
    return memory;
  }
  void release(void* memory) override { log_failure(cudaFree(memory), "cudaFree"); }

  absl::StatusOr<void*> allocate_pinned(size_t bytes) override {
    void* memory = nullptr;
    LOCKSTEP_RETURN_IF_ERROR(
        cuda_status(cudaMallocHost(&memory, bytes), fmt::format("cudaMallocHost of {} bytes", bytes)));
    return memory;
  }
  void release_pinned(void* memory) override { log_failure(cudaFreeHost(memory), "cudaFreeHost"); }

  // Not ordered with the default stream, which nothing of ours uses.
  absl::StatusOr<DeviceStream> create_stream() override {
    cudaStream_t stream = nullptr;
    LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return DeviceStream{stream};
  }
  void destroy(DeviceStream stream) override {
    if (stream.native != nullptr) log_failure(cudaStreamDestroy(native(stream)), "cudaStreamDestroy");
  }
  absl::Status copy(void* to, const void* from, size_t bytes, DeviceStream stream) override {
    if (bytes == 0) return absl::OkStatus();
    return cuda_status(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native(stream)), "cudaMemcpyAsync");
  }
  absl::Status fill_zero(void* memory, size_t bytes, DeviceStream stream) override {
    if (bytes == 0) return absl::OkStatus();
    return cuda_status(cudaMemsetAsync(memory, 0, bytes, native(stream)), "cudaMemsetAsync");
  }
  absl::Status synchronize(DeviceStream stream) override {
    return cuda_status(cudaStreamSynchronize(native(stream)), "cudaStreamSynchronize");
  }

  absl::StatusOr<DeviceEvent> create_event() override {
    cudaEvent_t event = nullptr;
    LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return DeviceEvent{event};
  }
  void destroy(DeviceEvent event) override {
    if (event.native != nullptr) log_failure(cudaEventDestroy(native(event)), "cudaEventDestroy");
  }
  absl::Status record(DeviceEvent event, DeviceStream stream) override {
    return cuda_status(cudaEventRecord(native(event), native(stream)), "cudaEventRecord");
  }
  absl::Status wait(DeviceStream stream, DeviceEvent event) override {
    return cuda_status(cudaStreamWaitEvent(native(stream), native(event), 0), "cudaStreamWaitEvent");
  }
  absl::StatusOr<bool> happened(DeviceEvent event) override {
    const cudaError_t error = cudaEventQuery(native(event));
    if (error == cudaErrorNotReady) return false;
    LOCKSTEP_RETURN_IF_ERROR(cuda_status(error, "cudaEventQuery"));
    return true;
  }

  absl::StatusOr<DeviceEvent> create_timed_event() override {
    cudaEvent_t event = nullptr;
    LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaEventCreateWithFlags(&event, cudaEventDefault));
    return DeviceEvent{event};
  }
  absl::StatusOr<double> seconds_between(DeviceEvent begin, DeviceEvent end) override {
    float milliseconds = 0;
    LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaEventElapsedTime(&milliseconds, native(begin), native(end)));
    return milliseconds * 1e-3;
  }

  // Other threads (the checkpoint writer) may call CUDA meanwhile.
  absl::Status begin_capture(DeviceStream stream) override {
    return cuda_status(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal),
                       "cudaStreamBeginCapture");
  }
  absl::StatusOr<DeviceGraph> end_capture(DeviceStream stream) override {
    cudaGraph_t graph = nullptr;
    LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaStreamEndCapture(native(stream), &graph));
    cudaGraphExec_t exec = nullptr;
    const cudaError_t error = cudaGraphInstantiate(&exec, graph, 0);
    log_failure(cudaGraphDestroy(graph), "cudaGraphDestroy");
    LOCKSTEP_RETURN_IF_ERROR(cuda_status(error, "cudaGraphInstantiate"));
    return DeviceGraph{exec};
  }
  void destroy(DeviceGraph graph) override {
    if (graph.native != nullptr) log_failure(cudaGraphExecDestroy(native(graph)), "cudaGraphExecDestroy");
  }
  absl::Status launch(DeviceGraph graph, DeviceStream stream) override {
    return cuda_status(cudaGraphLaunch(native(graph), native(stream)), "cudaGraphLaunch");
  }

 private:
  absl::Status out_of_memory(size_t bytes) {
    cudaGetLastError();  // it would be returned by the next launch
    const absl::StatusOr<DeviceMemoryInfo> info = memory();
    const std::string free_text = info.ok() ? fmt::format("{} of {}", info->free_bytes, info->total_bytes) : "unknown";
    return absl::ResourceExhaustedError(
        fmt::format("no memory left on {}: {} bytes wanted, {} free", name_, bytes, free_text));
  }

  const std::string name_;
};

}  // namespace

absl::StatusOr<int> cuda_device_count() {
  int count = 0;
  LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaGetDeviceCount(&count));
  if (count == 0) return absl::FailedPreconditionError("cudaGetDeviceCount: no CUDA device");
  return count;
}

absl::StatusOr<std::string> cuda_device_id(int index) {
  char address[32] = {};
  LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaDeviceGetPCIBusId(address, sizeof address, index));
  return std::string(address);
}

absl::StatusOr<std::unique_ptr<Device>> make_cuda_device(int index) {
  LOCKSTEP_ASSIGN_OR_RETURN(const int count, cuda_device_count());
  if (index < 0 || index >= count) {
    return absl::InvalidArgumentError(fmt::format("no GPU {}: this process sees {}, from 0", index, count));
  }
  LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaSetDevice(index));
  cudaDeviceProp properties{};
  LOCKSTEP_CUDA_RETURN_IF_ERROR(cudaGetDeviceProperties(&properties, index));
  const std::string name = fmt::format("{} (sm_{}{})", properties.name, properties.major, properties.minor);
  return std::make_unique<CudaDevice>(name);
}

}  // namespace lockstep
