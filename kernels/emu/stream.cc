// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/stream.h"

#include <fmt/format.h>

#include <mutex>
#include <utility>

#include "kernels/emu/grid.h"
#include "kernels/emu/kernel_call.h"
#include "kernels/emu/memory.h"
#include "kernels/emu/runtime_lock.h"
#include "kernels/emu/stream_types.h"

namespace lockstep::emu {

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

cudaError_t invalidate(Capture& capture, const char* call) {
  capture.invalid = true;
  return error(cudaErrorStreamCaptureUnsupported, fmt::format("{} while a stream captures", call));
}

void add_node(CUstream_st& stream, Work work) {
  std::vector<Node>& nodes = stream.capture->graph.nodes;
  nodes.push_back({std::move(work), stream.nodes});
  stream.nodes = {static_cast<int>(nodes.size()) - 1};
}

namespace {

void mark_done(Mark& mark) {
  mark.done = true;
  mark.time = std::chrono::steady_clock::now();
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

Capture* any_capture() {
  for (const CUstream_st* const stream : runtime().streams) {
    if (stream->capture != nullptr) return stream->capture.get();
  }
  return nullptr;
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

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const RuntimeLock lock(runtime_lock());
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
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
    if (!event->timed) return error(cudaErrorInvalidResourceHandle, "an event without a time (cudaEventDisableTiming)");
    if (!event->mark->done) return cudaErrorNotReady;
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->mark->time - start->mark->time).count();
  return cudaSuccess;
}
// NOLINTEND
