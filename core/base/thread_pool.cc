// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/base/flush_denormals.h"
#include "core/base/relax.h"

namespace lockstep {
namespace {

// How long a thread spins for the next loop before it sleeps. Loops of one step follow each other within microseconds;
// sleeping in between would cost a wake-up (about 50 us) per layer. Yielding keeps oversubscribed hosts responsive.
constexpr int kSpins = 2000;
constexpr int kYieldEvery = 64;

// The gate of a loop, one word: how many workers are inside, whether more may enter, and the number of the loop.
constexpr uint64_t kInside = (1u << 15) - 1, kOpen = 1u << 15;
constexpr int kLoopShift = 16;

}  // namespace

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<uint64_t> gate{0};  // a new number of a loop announces it
  std::atomic<bool> stop{false};
  absl::FunctionRef<void(int64_t, int)>* task = nullptr;
  int64_t count = 0;
  std::atomic<int64_t> next{0};
  std::atomic<uint64_t> done{0};
  std::vector<std::thread> workers;

  uint64_t loop() const { return gate.load(std::memory_order_acquire) >> kLoopShift; }
  // False when the loop is over: a worker that comes late must not be waited for.
  bool enter(uint64_t loop) {
    uint64_t seen = gate.load(std::memory_order_relaxed);
    while (seen >> kLoopShift == loop && (seen & kOpen) != 0) {
      if (gate.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void leave() { gate.fetch_sub(1, std::memory_order_release); }
};

ThreadPool::ThreadPool(int threads) : threads_(threads), state_(std::make_unique<State>()) {
  LOCKSTEP_CHECK_GE(threads, 1);
  LOCKSTEP_CHECK_LE(static_cast<uint64_t>(threads), kInside);
  for (int t = 1; t < threads; ++t) state_->workers.emplace_back([this, t] { worker(t); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop = true;
    state_->gate.fetch_add(uint64_t{1} << kLoopShift);
  }
  state_->wake.notify_all();
  for (auto& w : state_->workers) w.join();
}

uint64_t ThreadPool::tasks_done() const { return state_->done.load(std::memory_order_relaxed); }

void ThreadPool::count_task() { state_->done.fetch_add(1, std::memory_order_relaxed); }

void ThreadPool::run_tasks(int thread) {
  State& s = *state_;
  const FlushDenormals mode;
  for (int64_t i; (i = s.next.fetch_add(1)) < s.count;) {
    (*s.task)(i, thread);
    s.done.fetch_add(1, std::memory_order_relaxed);
  }
}

void ThreadPool::worker(int thread) {
  State& s = *state_;
  uint64_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins && s.loop() == seen; ++spin) {
      spin % kYieldEvery == kYieldEvery - 1 ? std::this_thread::yield() : relax();
    }
    if (s.loop() == seen) {
      std::unique_lock lock(s.mutex);
      s.wake.wait(lock, [&] { return s.loop() != seen; });
    }
    seen = s.loop();
    if (s.stop) return;
    if (!s.enter(seen)) continue;
    run_tasks(thread);
    s.leave();
  }
}

void ThreadPool::parallel_for(int64_t count, absl::FunctionRef<void(int64_t, int)> task) {
  State& s = *state_;
  if (threads_ == 1 || count <= 1) {
    const FlushDenormals mode;
    for (int64_t i = 0; i < count; ++i) {
      task(i, 0);
      s.done.fetch_add(1, std::memory_order_relaxed);
    }
    return;
  }
  {
    std::lock_guard lock(s.mutex);
    s.task = &task;
    s.count = count;
    s.next.store(0, std::memory_order_relaxed);
    // The gate is closed and nobody inside, so only the number changes.
    s.gate.fetch_add((uint64_t{1} << kLoopShift) | kOpen, std::memory_order_release);
  }
  s.wake.notify_all();
  run_tasks(0);
  s.gate.fetch_and(~kOpen, std::memory_order_relaxed);
  // Workers may still be in their last task; the loop's variables live on this stack frame, so wait for all to leave.
  // Those that have not come need not: on a busy host the scheduler may keep a worker away for longer than the loop.
  for (int spin = 0; (s.gate.load(std::memory_order_acquire) & kInside) != 0; ++spin) {
    spin % kYieldEvery == kYieldEvery - 1 ? std::this_thread::yield() : relax();
  }
}

void parallel_for(ThreadPool* pool, int64_t count, absl::FunctionRef<void(int64_t, int)> task) {
  if (pool != nullptr) return pool->parallel_for(count, task);
  const FlushDenormals mode;
  for (int64_t i = 0; i < count; ++i) task(i, 0);
}

}  // namespace lockstep
