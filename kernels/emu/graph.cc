// SPDX-License-Identifier: Apache-2.0
// Capture of streams into graphs, and graphs that run.
#include <algorithm>
#include <utility>

#include "kernels/emu/options.h"
#include "kernels/emu/runtime_lock.h"
#include "kernels/emu/stream_types.h"

namespace lockstep::emu {
namespace {

void leave_capture(Capture& capture) {
  for (CUstream_st* const stream : capture.streams) {
    stream->capture.reset();
    stream->nodes.clear();
  }
  capture.ended = true;
}

// Whether every node comes before the origin's last ones: work on a forked stream that nobody waits for is an error.
bool joined(const Capture& capture, const std::vector<int>& last) {
  std::vector<bool> before(capture.graph.nodes.size(), false);
  std::vector<int> open = last;
  while (!open.empty()) {
    const auto node = static_cast<size_t>(open.back());
    open.pop_back();
    if (before[node]) continue;
    before[node] = true;
    open.insert(open.end(), capture.graph.nodes[node].after.begin(), capture.graph.nodes[node].after.end());
  }
  return std::all_of(before.begin(), before.end(), [](bool b) { return b; });
}

// A node that may run next: the latest, or any as the seed says.
size_t choose(const std::vector<size_t>& ready, uint64_t turn) {
  const ThreadOrder order = thread_order();
  if (order.kind != Order::kSeeded) return ready.size() - 1;
  uint64_t x = (order.seed + 1) * 0x9E3779B97F4A7C15u ^ turn * 0xBF58476D1CE4E5B9u;
  x ^= x >> 29;
  return static_cast<size_t>(x % ready.size());
}

Failure run_graph(const CUgraph_st& graph, uint64_t launch) {
  std::vector<bool> done(graph.nodes.size(), false);
  for (size_t left = graph.nodes.size(); left > 0; --left) {
    std::vector<size_t> ready;
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      const std::vector<int>& after = graph.nodes[i].after;
      const auto is_done = [&](int n) { return bool{done[static_cast<size_t>(n)]}; };
      if (!done[i] && std::all_of(after.begin(), after.end(), is_done)) ready.push_back(i);
    }
    const size_t node = ready[choose(ready, launch * 1000003 + left)];
    if (Failure failure = graph.nodes[node].work(); failure.failed()) return failure;
    done[node] = true;
  }
  return {};
}

}  // namespace
}  // namespace lockstep::emu

// NOLINTBEGIN: the names are CUDA's.
using namespace lockstep::emu;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
  const RuntimeLock lock(runtime_lock());
  if (handle == nullptr) return error(cudaErrorStreamCaptureUnsupported, "the default stream cannot capture");
  CUstream_st* const stream = stream_of(handle);
  if (stream == nullptr) return bad_handle("a stream");
  if (stream->capture != nullptr) return error(cudaErrorInvalidValue, "the stream captures already");
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->streams.insert(stream);
  stream->nodes.clear();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const RuntimeLock lock(runtime_lock());
  *graph = nullptr;
  CUstream_st* const stream = stream_of(handle);
  if (stream == nullptr) return bad_handle("a stream");
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture == nullptr || capture->origin != stream) {
    return error(cudaErrorStreamCaptureUnmatched, "the stream did not begin a capture");
  }
  const std::vector<int> last = stream->nodes;
  leave_capture(*capture);
  if (capture->invalid) return error(cudaErrorStreamCaptureInvalidated, "an earlier call broke the capture");
  if (!joined(*capture, last)) {
    return error(cudaErrorStreamCaptureUnjoined, "a stream that joined the capture was not waited for at its end");
  }
  *graph = new CUgraph_st(std::move(capture->graph));
  runtime().graphs.insert(*graph);
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const RuntimeLock lock(runtime_lock());
  const CUstream_st* const stream = stream_of(handle);
  if (stream == nullptr) return bad_handle("a stream");
  *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
            : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const RuntimeLock lock(runtime_lock());
  if (!runtime().graphs.contains(graph)) return bad_handle("a graph");
  *exec = new CUgraphExec_st{std::make_shared<const CUgraph_st>(*graph)};
  runtime().execs.insert(*exec);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const RuntimeLock lock(runtime_lock());
  if (!runtime().execs.contains(exec)) return bad_handle("an instantiated graph");
  const uint64_t launch = runtime().graph_launches++;
  return enqueue_work(stream, [graph = exec->graph, launch] { return run_graph(*graph, launch); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const RuntimeLock lock(runtime_lock());
  if (runtime().graphs.erase(graph) == 0) return bad_handle("a graph");
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const RuntimeLock lock(runtime_lock());
  if (runtime().execs.erase(exec) == 0) return bad_handle("an instantiated graph");
  delete exec;
  return cudaSuccess;
}
// NOLINTEND
