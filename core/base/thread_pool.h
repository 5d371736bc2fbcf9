// SPDX-License-Identifier: Apache-2.0
// A fixed set of threads that runs short parallel loops of one training step.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"

namespace lockstep {

// Owns `threads - 1` worker threads; the caller is the remaining one. Not reentrant: one parallel loop at a time, from
// the thread that created the pool. Tasks must not throw.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls task(index, thread) once for every index in [0, count), thread in [0, threads()). Which thread runs an index
  // is not specified (indices are handed out in order), so a result must not depend on it. Returns when all are done;
  // everything the tasks wrote is visible to the caller.
  void parallel_for(int64_t count, absl::FunctionRef<void(int64_t index, int thread)> task);

  // Number of indices finished since construction, by all threads: a sign of life for the watchdog. Thread-safe.
  uint64_t tasks_done() const;
  // Counts a task that the caller did on its own, outside of a loop. Thread-safe.
  void count_task();

 private:
  struct State;
  void worker(int thread);
  void run_tasks(int thread);

  const int threads_;
  std::unique_ptr<State> state_;
};

// Runs on `pool`, or on the calling thread (as thread 0) when pool is null.
void parallel_for(ThreadPool* pool, int64_t count, absl::FunctionRef<void(int64_t index, int thread)> task);
inline void count_task(ThreadPool* pool) {
  if (pool != nullptr) pool->count_task();
}
inline int thread_count(const ThreadPool* pool) { return pool == nullptr ? 1 : pool->threads(); }

}  // namespace lockstep
