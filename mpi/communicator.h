// SPDX-License-Identifier: Apache-2.0
// The ranks of one job. Every wait is bounded: when a rank dies or stops, the others return an error or are aborted
// within the stall time-out, and the reason names the rank and its host.
//
// All methods marked "collective" must be called by every rank in the same order. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/base/status.h"

namespace lockstep {

class Communicator;
class MessagePort;

struct CommunicatorOptions {
  // A rank that gives no sign of life (heartbeat or progress) for this long ends the job. The launcher may then need a
  // second or two to end processes that do not heed its first signal, and all is to be over within 10 s.
  double stall_timeout_s = 7;
  // All processes of the job must have started within this time, and MPI have shut down at the end.
  double startup_timeout_s = 60;
};

// Progress of this rank that something else counts: tasks of a thread pool, bytes of a file. While one lives, any
// change of its count is a sign of life, as note_progress() is.
class ProgressSource {
 public:
  // `count` is called several times a second by the watchdog's thread, and never again once the destructor has
  // returned. It must be quick and must not call the communicator.
  ProgressSource(Communicator& communicator, std::function<uint64_t()> count);
  ~ProgressSource();
  ProgressSource(const ProgressSource&) = delete;
  ProgressSource& operator=(const ProgressSource&) = delete;

  uint64_t count() const { return count_(); }

 private:
  Communicator& communicator_;
  const std::function<uint64_t()> count_;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  // "local", "mpi".
  virtual std::string_view name() const = 0;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Position among, and number of, the ranks on this host.
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  virtual const std::string& host_of(int rank) const = 0;

  // Collective. `what` appears in the error when a rank does not arrive.
  virtual absl::Status barrier(std::string_view what) = 0;
  // Collective: `bytes` of `data` from rank `root` to all.
  virtual absl::Status broadcast(void* data, size_t bytes, int root) = 0;
  // Collective: every rank's blob (lengths may differ), in rank order.
  virtual absl::StatusOr<std::vector<std::string>> all_gather(std::string_view blob) = 0;

  // Polls `done` until it is true or fails, for the transports of this folder: spins for some microseconds, then
  // yields, then sleeps. Meanwhile this rank counts as waiting for others, so the watchdog blames whoever does not
  // arrive; `what` tells in its report what is waited for.
  virtual absl::Status wait_for_others(std::string_view what, absl::FunctionRef<absl::StatusOr<bool>()> done);

  // Nonblocking messages between ranks, or null when there are none (one rank). Owned by the communicator.
  virtual MessagePort* messages() { return nullptr; }

  // Tells the watchdog that this rank's main thread is alive; call at least once per layer or batch. Thread-safe,
  // cheap.
  virtual void note_progress() = 0;
  // Of ProgressSource alone. Thread-safe.
  virtual void add_progress_source(const ProgressSource*) {}
  virtual void remove_progress_source(const ProgressSource*) {}

  // Ends the whole job now: logs the reason with rank and host, then stops every rank with exit code 1.
  [[noreturn]] virtual void abort(std::string_view reason) = 0;
};

// MPI when the process was started by mpirun or srun, else one local rank. Call once per process, before any thread is
// started; the object must outlive every use and be destroyed last (it finalizes MPI).
absl::StatusOr<std::unique_ptr<Communicator>> open_communicator(const CommunicatorOptions& options);
std::unique_ptr<Communicator> make_local_communicator();

}  // namespace lockstep
