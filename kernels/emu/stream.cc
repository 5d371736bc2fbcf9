// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "kernels/emu/grid.h"
#include "kernels/emu/kernel_call.h"
#include "kernels/emu/memory.h"
#include "kernels/emu/options.h"
#include "kernels/emu/runtime_lock.h"

namespace lockstep::emu {
namespace {

struct Capture;
using Clock = std::chrono::steady_clock;

// A place in a stream, or in a graph that is being captured, that others wait for.
struct Mark {
  CUstream_st* stream = nullptr;
  bool done = false;
  Clock::time_point time;
  std::shared_ptr<Capture> capture;
  std::vector<int> nodes;  // of the capture: those that come before
};

// One of the three.
struct Item {
  Work work;
  std::shared_ptr<Mark> record, wait;
};

struct Node {
  Work work;
  std::vector<int> after;  // nodes that must have run
};

}  // namespace
}  // namespace lockstep::emu

struct CUgraph_st {
  std::vector<lockstep::emu::Node> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const CUgraph_st> graph;
};
struct CUstream_st {
  std::deque<lockstep::emu::Item> queue;
  std::shared_ptr<lockstep::emu::Capture> capture;
  std::vector<int> nodes;  // of the capture: what the next node comes after
};
struct CUevent_st {
  std::shared_ptr<lockstep::emu::Mark> mark;  // of the last record; null: never recorded, which counts as done
};

namespace lockstep::emu {
namespace {

struct Capture {
  CUstream_st* origin = nullptr;
  std::set<CUstream_st*> streams;
  CUgraph_st graph;
  bool invalid = false;
  bool ended = false;
};

struct Runtime {
  CUstream_st default_stream;
  std::set<CUstream_st*> streams{&default_stream};
  std::set<CUevent_st*> events;
  std::set<CUgraph_st*> graphs;
  std::set<CUgraphExec_st*> execs;
  uint64_t graph_launches = 0;
};

Runtime& runtime() {
  static Runtime runtime;
  return runtime;
}

cudaError_t error(cudaError_t code, std::string text) { return report({code, std::move(text)}); }

CUstream_st* stream_of(cudaStream_t stream) {
  Runtime& r = runtime();
  if (stream == nullptr) return &r.default_stream;
  return r.streams.contains(stream) ? stream : nullptr;
}
cudaError_t bad_handle(const char* what) {
  return error(cudaErrorInvalidResourceHandle, fmt::format("{} that does not exist, or was destroyed", what));
}

void mark_done(Mark& mark) {
  mark.done = true;
  mark.time = Clock::now();
}

// A GPU whose kernel failed does nothing more. This one is as new after it, so that the next test can go on.
void drop_all_work() {
  for (CUstream_st* const stream : runtime().streams) {
    for (const Item& item : stream->queue) {
      if (item.record != nullptr) mark_done(*item.record);
    }
    stream->queue.clear();
  }
}

Failure run_until(const Mark& mark);

// Runs the first item of the stream, and whatever it waits for.
Failure step(CUstream_st& stream) {
  const Item item = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (item.record != nullptr) mark_done(*item.record);
  if (item.wait != nullptr) return run_until(*item.wait);
  return item.work ? item.work() : Failure{};
}

Failure run_until(const Mark& mark) {
  while (!mark.done) {
    if (Failure failure = step(*mark.stream); failure.failed()) return failure;
  }
  return {};
}

Failure drain(CUstream_st& stream) {
  while (!stream.queue.empty()) {
    if (Failure failure = step(stream); failure.failed()) return failure;
  }
  return {};
}

// Runs `work` as the GPU.
template <typename F>
cudaError_t as_device(const F& work) {
  if (!reserve_arena()) return error(cudaErrorInitializationError, "no addresses left for the emulated GPU's memory");
  const HostAccess access;
  const Failure failure = work();
  if (!failure.failed()) return cudaSuccess;
  drop_all_work();
  return report(failure);
}

// ---- capture ----

cudaError_t invalidate(Capture& capture, const char* call) {
  capture.invalid = true;
  return error(cudaErrorStreamCaptureUnsupported, fmt::format("{} while a stream captures", call));
}

Capture* any_capture() {
  for (const CUstream_st* const stream : runtime().streams) {
    if (stream->capture != nullptr) return stream->capture.get();
  }
  return nullptr;
}

void add_node(CUstream_st& stream, Work work) {
  std::vector<Node>& nodes = stream.capture->graph.nodes;
  nodes.push_back({std::move(work), stream.nodes});
  stream.nodes = {static_cast<int>(nodes.size()) - 1};
}

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

std::recursive_mutex& runtime_lock() {
  static std::recursive_mutex mutex;
  return mutex;
}

cudaError_t unsafe_while_capturing(const char* call) {
  Capture* const capture = any_capture();
  return capture == nullptr ? cudaSuccess : invalidate(*capture, call);
}

cudaError_t enqueue_work(cudaStream_t handle, Work work) {
  const RuntimeLock lock(runtime_lock());
  CUstream_st* const stream = stream_of(handle);
  if (stream == nullptr) return bad_handle("a stream");
  if (stream->capture != nullptr) {
    add_node(*stream, std::move(work));
  } else {
    stream->queue.push_back({std::move(work), nullptr, nullptr});
  }
  return cudaSuccess;
}

int enqueue_kernel(std::unique_ptr<KernelCall> call, dim3 grid, dim3 block, size_t shared_bytes, void* stream) {
  const std::shared_ptr<const KernelCall> shared_call = std::move(call);
  const Grid launch{shared_call.get(), grid, block, shared_bytes};
  if (const Failure failure = check_grid(launch); failure.failed()) return report(failure);
  return enqueue_work(static_cast<cudaStream_t>(stream), [shared_call, launch] { return run_grid(launch); });
}

}  // namespace lockstep::emu

// NOLINTBEGIN: the names are CUDA's.
using namespace lockstep::emu;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const RuntimeLock lock(runtime_lock());
  *stream = new CUstream_st;
  runtime().streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const RuntimeLock lock(runtime_lock());
  if (!runtime().streams.contains(stream)) return bad_handle("a stream");
  if (stream->capture != nullptr) return invalidate(*stream->capture, "cudaStreamDestroy");
  const cudaError_t result = as_device([&] { return drain(*stream); });
  runtime().streams.erase(stream);
  delete stream;
  return result;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const RuntimeLock lock(runtime_lock());
  CUstream_st* const stream = stream_of(handle);
  if (stream == nullptr) return bad_handle("a stream");
  if (stream->capture != nullptr) return invalidate(*stream->capture, "cudaStreamSynchronize");
  return as_device([&] { return drain(*stream); });
}

// One item at a time, so that a host that polls gets on.
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const RuntimeLock lock(runtime_lock());
  CUstream_st* const stream = stream_of(handle);
  if (stream == nullptr) return bad_handle("a stream");
  if (stream->capture != nullptr) return invalidate(*stream->capture, "cudaStreamQuery");
  if (stream->queue.empty()) return cudaSuccess;
  const cudaError_t result = as_device([&] { return step(*stream); });
  return result == cudaSuccess ? cudaErrorNotReady : result;
}

cudaError_t cudaDeviceSynchronize() {
  const RuntimeLock lock(runtime_lock());
  if (const cudaError_t e = unsafe_while_capturing("cudaDeviceSynchronize"); e != cudaSuccess) return e;
  return as_device([] {
    for (CUstream_st* const stream : runtime().streams) {
      if (Failure failure = drain(*stream); failure.failed()) return failure;
    }
    return Failure{};
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const RuntimeLock lock(runtime_lock());
  CUstream_st* const stream = stream_of(handle);
  if (stream == nullptr) return bad_handle("a stream");
  if (!runtime().events.contains(event)) return bad_handle("an event");
  const std::shared_ptr<Mark> mark = event->mark;
  const bool captured = mark != nullptr && mark->capture != nullptr;
  if (captured && mark->capture->ended) {
    return error(cudaErrorStreamCaptureIsolation, "a wait for an event of a capture that has ended");
  }
  if (!captured && stream->capture != nullptr) {
    if (mark == nullptr) return cudaSuccess;
    stream->capture->invalid = true;
    return error(cudaErrorStreamCaptureIsolation, "a captured wait for an event that was recorded outside the capture");
  }
  if (!captured) {
    if (mark != nullptr && !mark->done) stream->queue.push_back({nullptr, nullptr, mark});
    return cudaSuccess;
  }
  if (stream->capture != nullptr && stream->capture != mark->capture) {
    return error(cudaErrorStreamCaptureIsolation, "a wait for an event of another capture");
  }
  stream->capture = mark->capture;
  stream->capture->streams.insert(stream);
  stream->nodes.insert(stream->nodes.end(), mark->nodes.begin(), mark->nodes.end());
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const RuntimeLock lock(runtime_lock());
  *event = new CUevent_st;
  runtime().events.insert(*event);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const RuntimeLock lock(runtime_lock());
  if (runtime().events.erase(event) == 0) return bad_handle("an event");
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const RuntimeLock lock(runtime_lock());
  CUstream_st* const stream = stream_of(handle);
  if (stream == nullptr) return bad_handle("a stream");
  if (!runtime().events.contains(event)) return bad_handle("an event");
  event->mark = std::make_shared<Mark>();
  event->mark->stream = stream;
  if (stream->capture != nullptr) {
    event->mark->capture = stream->capture;
    event->mark->nodes = stream->nodes;
  } else {
    stream->queue.push_back({nullptr, event->mark, nullptr});
  }
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const RuntimeLock lock(runtime_lock());
  if (!runtime().events.contains(event)) return bad_handle("an event");
  const std::shared_ptr<Mark> mark = event->mark;
  if (mark == nullptr) return cudaSuccess;
  if (mark->capture != nullptr) return invalidate(*mark->capture, "cudaEventSynchronize");
  return as_device([&] { return run_until(*mark); });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const RuntimeLock lock(runtime_lock());
  if (!runtime().events.contains(event)) return bad_handle("an event");
  const std::shared_ptr<Mark> mark = event->mark;
  if (mark == nullptr || mark->done) return cudaSuccess;
  if (mark->capture != nullptr) return invalidate(*mark->capture, "cudaEventQuery");
  const cudaError_t result = as_device([&] { return step(*mark->stream); });
  return result == cudaSuccess ? cudaErrorNotReady : result;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const RuntimeLock lock(runtime_lock());
  for (const cudaEvent_t event : {start, end}) {
    if (!runtime().events.contains(event) || event->mark == nullptr) return bad_handle("an event");
    if (!event->mark->done) return cudaErrorNotReady;
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->mark->time - start->mark->time).count();
  return cudaSuccess;
}

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
