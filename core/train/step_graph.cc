// SPDX-License-Identifier: Apache-2.0
#include "core/train/step_graph.h"

#include "core/base/log.h"

namespace lockstep {

absl::StatusOr<OwnedGraph> StepGraph::capture(absl::FunctionRef<absl::Status()> enqueue) {
  LOCKSTEP_RETURN_IF_ERROR(device_.begin_capture(stream_));
  const absl::Status enqueued = enqueue();
  // Also after an error: the stream must come out of capturing.
  const absl::StatusOr<DeviceGraph> graph = device_.end_capture(stream_);
  OwnedGraph owned = graph.ok() ? OwnedGraph(device_, *graph) : OwnedGraph();
  LOCKSTEP_RETURN_IF_ERROR(enqueued);
  LOCKSTEP_RETURN_IF_ERROR(graph.status());
  return owned;
}

absl::Status StepGraph::run(absl::FunctionRef<absl::Status()> enqueue) {
  if (state_ == kCapture) return capture_and_launch(enqueue);
  if (state_ == kLaunch) return device_.launch(graph_.get(), stream_);
  if (state_ == kFirst) state_ = kCapture;
  return enqueue();
}

absl::Status StepGraph::capture_and_launch(absl::FunctionRef<absl::Status()> enqueue) {
  absl::StatusOr<OwnedGraph> graph = capture(enqueue);
  if (graph.ok()) {
    state_ = kLaunch;
    graph_ = *std::move(graph);
    return device_.launch(graph_.get(), stream_);
  }
  state_ = kDirect;
  const std::string reason(graph.status().message());
  // What failed for another reason than the capture fails again.
  LOCKSTEP_RETURN_IF_ERROR(annotate(enqueue(), reason));
  LOG_WARNING("the step is not captured in a CUDA graph, its operations are launched one by one: {}", reason);
  return absl::OkStatus();
}

}  // namespace lockstep
