// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/rng.h"

namespace lockstep {

struct FakeDevice::Node {
  Work work;
  std::vector<NodePtr> after;
  bool done = false;
};

struct FakeDevice::Capture {
  std::vector<NodePtr> nodes;  // each behind those it comes after
  std::vector<Stream*> streams;
  bool ended = false;
};

struct FakeDevice::Stream {
  FakeDevice* device = nullptr;
  NodePtr last;
  std::shared_ptr<Capture> capture;
  NodePtr last_captured;
};

struct FakeDevice::Event {
  NodePtr node;
  std::shared_ptr<Capture> capture;
};

FakeDevice::FakeDevice(const FakeDeviceOptions& options) : options_(options), worker_([this] { run(); }) {}

FakeDevice::~FakeDevice() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  worker_.join();
  LOCKSTEP_CHECK(allocations_.empty());  // owners outlived the device
}

// ---- the worker ----

FakeDevice::NodePtr FakeDevice::next_ready() {
  std::vector<NodePtr> ready;
  for (const NodePtr& node : pending_) {
    const auto done = [](const NodePtr& before) { return before->done; };
    if (std::all_of(node->after.begin(), node->after.end(), done)) ready.push_back(node);
  }
  const RngStream random(options_.seed, RngPurpose::kTest, turns_++, 0);
  return ready.empty() ? nullptr : ready[random.bits(0) % ready.size()];
}

void FakeDevice::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !pending_.empty(); });
    if (stop_) return;
    const NodePtr node = next_ready();
    LOCKSTEP_CHECK(node != nullptr);  // nothing waits for what is not enqueued
    absl::Status status;
    if (node->work && error_.ok()) {
      lock.unlock();
      status = node->work();
      lock.lock();
    }
    if (error_.ok()) error_ = status;
    node->done = true;
    node->after.clear();
    std::erase(pending_, node);
    changed_.notify_all();
  }
}

// ---- memory ----

absl::StatusOr<void*> FakeDevice::take(size_t bytes, bool pinned) {
  constexpr size_t kAlignment = 256;
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const std::lock_guard lock(mutex_);
  const int64_t free_bytes = options_.memory_bytes - allocated_bytes_;
  if (!pinned && static_cast<int64_t>(bytes) > free_bytes)
    return absl::ResourceExhaustedError(fmt::format("{} bytes wanted, {} free", bytes, free_bytes));
  void* const memory = std::aligned_alloc(kAlignment, rounded);
  std::memset(memory, 0xff, rounded);
  allocations_[memory] = pinned ? 0 : bytes;
  if (!pinned) allocated_bytes_ += static_cast<int64_t>(bytes);
  return memory;
}

void FakeDevice::give_back(void* memory) {
  if (memory == nullptr) return;
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(memory);
  LOCKSTEP_CHECK(found != allocations_.end());
  allocated_bytes_ -= static_cast<int64_t>(found->second);
  allocations_.erase(found);
  std::free(memory);
}

absl::StatusOr<DeviceMemoryInfo> FakeDevice::memory() const {
  const std::lock_guard lock(mutex_);
  return DeviceMemoryInfo{options_.memory_bytes - allocated_bytes_, options_.memory_bytes};
}
absl::StatusOr<void*> FakeDevice::allocate(size_t bytes) { return take(bytes, /*pinned=*/false); }
void FakeDevice::release(void* memory) { give_back(memory); }
absl::StatusOr<void*> FakeDevice::allocate_pinned(size_t bytes) { return take(bytes, /*pinned=*/true); }
void FakeDevice::release_pinned(void* memory) { give_back(memory); }

int64_t FakeDevice::allocated_bytes() const {
  const std::lock_guard lock(mutex_);
  return allocated_bytes_;
}
int64_t FakeDevice::launches() const {
  const std::lock_guard lock(mutex_);
  return launches_;
}

// ---- streams ----

absl::StatusOr<DeviceStream> FakeDevice::create_stream() {
  auto* const stream = new Stream;
  stream->device = this;
  return DeviceStream{stream};
}

void FakeDevice::destroy(DeviceStream stream) {
  synchronize(stream).IgnoreError();
  delete static_cast<Stream*>(stream.native);
}

void FakeDevice::append(Stream& stream, const NodePtr& node) {
  if (stream.capture != nullptr) {
    if (stream.last_captured != nullptr) node->after.push_back(stream.last_captured);
    stream.last_captured = node;
    stream.capture->nodes.push_back(node);
    return;
  }
  if (stream.last != nullptr) node->after.push_back(stream.last);
  stream.last = node;
  pending_.push_back(node);
  changed_.notify_all();
}

absl::Status FakeDevice::add(Stream& stream, Work work) {
  const std::lock_guard lock(mutex_);
  LOCKSTEP_RETURN_IF_ERROR(error_);
  auto node = std::make_shared<Node>();
  node->work = std::move(work);
  append(stream, node);
  return absl::OkStatus();
}

absl::Status FakeDevice::enqueue(DeviceStream stream, Work work) {
  auto& s = *static_cast<Stream*>(stream.native);
  return s.device->add(s, std::move(work));
}

// As a GPU's copy does it: a word at once, for a host that polls it.
absl::Status FakeDevice::copy(void* to, const void* from, size_t bytes, DeviceStream stream) {
  if (bytes == 0) return absl::OkStatus();
  return enqueue(stream, [=] {
    if (bytes == sizeof(uint64_t)) {
      uint64_t word = 0;
      std::memcpy(&word, from, bytes);
      std::atomic_ref<uint64_t>(*static_cast<uint64_t*>(to)).store(word, std::memory_order_release);
    } else {
      std::memcpy(to, from, bytes);
    }
    return absl::OkStatus();
  });
}

absl::Status FakeDevice::fill_zero(void* memory, size_t bytes, DeviceStream stream) {
  return enqueue(stream, [=] {
    std::memset(memory, 0, bytes);
    return absl::OkStatus();
  });
}

absl::Status FakeDevice::synchronize(DeviceStream stream) {
  std::unique_lock lock(mutex_);
  const auto& s = *static_cast<Stream*>(stream.native);
  if (s.capture != nullptr) return absl::FailedPreconditionError("synchronize while a stream captures");
  const NodePtr last = s.last;
  changed_.wait(lock, [&] { return last == nullptr || last->done; });
  return error_;
}

// ---- events ----

absl::StatusOr<DeviceEvent> FakeDevice::create_event() { return DeviceEvent{new Event}; }
void FakeDevice::destroy(DeviceEvent event) { delete static_cast<Event*>(event.native); }

absl::Status FakeDevice::record(DeviceEvent event, DeviceStream stream) {
  const std::lock_guard lock(mutex_);
  const auto& s = *static_cast<Stream*>(stream.native);
  *static_cast<Event*>(event.native) = {s.capture != nullptr ? s.last_captured : s.last, s.capture};
  return error_;
}

absl::Status FakeDevice::wait(DeviceStream stream, DeviceEvent event) {
  const std::lock_guard lock(mutex_);
  auto& s = *static_cast<Stream*>(stream.native);
  const Event& e = *static_cast<Event*>(event.native);
  if (e.capture != nullptr && e.capture->ended) {
    return absl::FailedPreconditionError("a wait for an event of a capture that has ended");
  }
  if (e.capture != nullptr && s.capture == nullptr) {
    s.capture = e.capture;
    s.capture->streams.push_back(&s);
  }
  if (s.capture != e.capture) return absl::FailedPreconditionError("a captured wait for an event outside the capture");
  if (e.node == nullptr) return error_;
  auto node = std::make_shared<Node>();
  node->after.push_back(e.node);
  append(s, node);
  return error_;
}

absl::StatusOr<bool> FakeDevice::happened(DeviceEvent event) {
  const std::lock_guard lock(mutex_);
  const Event& e = *static_cast<Event*>(event.native);
  LOCKSTEP_RETURN_IF_ERROR(error_);
  return e.node == nullptr || e.node->done;
}

// ---- graphs ----

absl::Status FakeDevice::begin_capture(DeviceStream stream) {
  const std::lock_guard lock(mutex_);
  if (!options_.can_capture) return absl::UnimplementedError("this device captures nothing");
  auto& s = *static_cast<Stream*>(stream.native);
  s.capture = std::make_shared<Capture>();
  s.capture->streams.push_back(&s);
  return absl::OkStatus();
}

absl::StatusOr<DeviceGraph> FakeDevice::end_capture(DeviceStream stream) {
  const std::lock_guard lock(mutex_);
  auto& s = *static_cast<Stream*>(stream.native);
  LOCKSTEP_CHECK(s.capture != nullptr);
  const std::shared_ptr<Capture> capture = s.capture;
  std::vector<NodePtr> open{s.last_captured}, joined;
  while (!open.empty()) {
    const NodePtr node = open.back();
    open.pop_back();
    if (node == nullptr || std::find(joined.begin(), joined.end(), node) != joined.end()) continue;
    joined.push_back(node);
    open.insert(open.end(), node->after.begin(), node->after.end());
  }
  for (Stream* const member : capture->streams) {
    member->capture.reset();
    member->last_captured.reset();
  }
  capture->ended = true;
  if (joined.size() != capture->nodes.size())
    return absl::FailedPreconditionError("a stream that joined the capture was not waited for at its end");
  return DeviceGraph{new Capture(*capture)};
}

void FakeDevice::destroy(DeviceGraph graph) { delete static_cast<Capture*>(graph.native); }

absl::Status FakeDevice::launch(DeviceGraph graph, DeviceStream stream) {
  const std::lock_guard lock(mutex_);
  LOCKSTEP_RETURN_IF_ERROR(error_);
  auto& s = *static_cast<Stream*>(stream.native);
  ++launches_;
  std::map<NodePtr, NodePtr> copies;
  auto end = std::make_shared<Node>();
  for (const NodePtr& node : static_cast<Capture*>(graph.native)->nodes) {
    auto copy = std::make_shared<Node>();
    copy->work = node->work;
    for (const NodePtr& before : node->after) copy->after.push_back(copies.at(before));
    if (s.last != nullptr) copy->after.push_back(s.last);
    copies[node] = copy;
    pending_.push_back(copy);
    end->after.push_back(copy);
  }
  append(s, end);
  return absl::OkStatus();
}

}  // namespace lockstep
