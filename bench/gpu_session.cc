// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace lockstep {

absl::Status not_run(const absl::Status& reason) {
  const char* const required = std::getenv("LOCKSTEP_REQUIRE_GPU");
  if (required != nullptr && std::string_view(required) == "1") return reason;
  fmt::print("not run: {}\n", std::string(reason.message()));
  return absl::OkStatus();
}

int calls_of_a_run(double seconds_per_call) {
  constexpr double kSeconds = 1e-3, kMostCalls = 1000;
  const double calls = std::ceil(kSeconds / std::max(seconds_per_call, 1e-9));
  return static_cast<int>(std::clamp(calls, 1.0, kMostCalls));
}

absl::StatusOr<std::unique_ptr<GpuSession>> GpuSession::open() {
  LOCKSTEP_ASSIGN_OR_RETURN(const CudaLibrary* const library, open_cuda_library());
  return open(*library);
}

absl::StatusOr<std::unique_ptr<GpuSession>> GpuSession::open(const CudaLibrary& library) {
  std::unique_ptr<GpuSession> session(new GpuSession);
  session->library_ = &library;
  if (const absl::StatusOr<int> devices = library.device_count(); !devices.ok()) {
    return absl::FailedPreconditionError(fmt::format("no usable GPU ({})", std::string(devices.status().message())));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(session->device_, session->library_->make_device(0));
  LOCKSTEP_ASSIGN_OR_RETURN(session->stream_, session->device_->create_stream());
  LOCKSTEP_ASSIGN_OR_RETURN(session->begin_, session->device_->create_timed_event());
  LOCKSTEP_ASSIGN_OR_RETURN(session->end_, session->device_->create_timed_event());
  return session;
}

GpuSession::~GpuSession() {
  if (device_ == nullptr) return;
  device_->destroy(begin_);
  device_->destroy(end_);
  device_->destroy(stream_);
}

DeviceContext GpuSession::context(Backend backend) const {
  DeviceContext context;
  context.device = device_.get();
  context.ops = backend == Backend::kCudnn ? library_->cudnn : library_->cuda;
  context.stream = stream_;
  return context;
}

BenchRow GpuSession::row(const std::string& bench, const std::string& name) const {
  BenchRow row = BenchRow::here(bench, name);
  row.cpu = fmt::format("{} in {}", device_->name(), row.cpu);
  return row;
}

absl::StatusOr<DeviceGraph> GpuSession::capture(const Enqueue& enqueue, int calls) {
  LOCKSTEP_RETURN_IF_ERROR(device_->begin_capture(stream_));
  absl::Status status;
  for (int i = 0; i < calls && status.ok(); ++i) status = enqueue();
  absl::StatusOr<DeviceGraph> graph = device_->end_capture(stream_);
  if (!status.ok() && graph.ok()) device_->destroy(*graph);
  LOCKSTEP_RETURN_IF_ERROR(status);
  return graph;
}

absl::StatusOr<std::vector<double>> GpuSession::time_graph(DeviceGraph graph, int calls, int runs) {
  std::vector<double> seconds;
  for (int run = 0; run <= runs; ++run) {  // the first is warm-up
    LOCKSTEP_RETURN_IF_ERROR(device_->record(begin_, stream_));
    LOCKSTEP_RETURN_IF_ERROR(device_->launch(graph, stream_));
    LOCKSTEP_RETURN_IF_ERROR(device_->record(end_, stream_));
    LOCKSTEP_RETURN_IF_ERROR(device_->synchronize(stream_));
    LOCKSTEP_ASSIGN_OR_RETURN(const double all, device_->seconds_between(begin_, end_));
    if (run > 0 && keeps_time()) seconds.push_back(all / calls);
  }
  return seconds;
}

absl::StatusOr<std::vector<double>> GpuSession::time(const Enqueue& enqueue, int calls, int runs) {
  LOCKSTEP_RETURN_IF_ERROR(enqueue());  // what is loaded, planned or connected at the first call
  LOCKSTEP_RETURN_IF_ERROR(device_->synchronize(stream_));
  LOCKSTEP_ASSIGN_OR_RETURN(const DeviceGraph graph, capture(enqueue, calls));
  absl::StatusOr<std::vector<double>> seconds = time_graph(graph, calls, runs);
  device_->destroy(graph);
  return seconds;
}

absl::StatusOr<std::vector<double>> GpuSession::time(const Enqueue& enqueue, int runs) {
  if (!keeps_time()) return time(enqueue, 2, 1);
  int calls = 1;
  for (int estimate = 0; estimate < 2; ++estimate) {  // the first counts the launch of a graph as part of the call
    LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<double> seconds, time(enqueue, calls, 3));
    calls = calls_of_a_run(summarize(seconds).median);
  }
  return time(enqueue, calls, runs);
}

}  // namespace lockstep
