// SPDX-License-Identifier: Apache-2.0
// The calls of the MPI library that we use, as Status: the only place that includes its header. No call waits except
// open() and finalize(). Thread-safe: a lock lets one thread at a time into the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"
#include "mpi/message_port.h"

namespace lockstep {

class MpiWorld {
 public:
  // Separate spaces of tags and collectives.
  enum Channel { kCommunicator, kTransport, kWatchdog, kFarewell, kChannels };

  // Initializes MPI. Waits until all ranks have come.
  static absl::StatusOr<std::unique_ptr<MpiWorld>> open();
  // Abandons MPI unless finalize() was called.
  ~MpiWorld();
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // [rank], for errors; before, they name ranks alone.
  void set_hosts(std::vector<std::string> hosts) { hosts_ = std::move(hosts); }

  absl::Status send(Channel channel, int to, int tag, const void* data, size_t bytes, MessageRequest* request);
  absl::Status receive(Channel channel, int from, int tag, void* data, size_t bytes, MessageRequest* request);
  absl::StatusOr<bool> test(MessageRequest* request);
  void cancel(MessageRequest* request);

  // Collectives; done when test() says so. All but the barrier are on kCommunicator.
  absl::Status start_barrier(Channel channel, MessageRequest* request);
  absl::Status start_broadcast(void* data, size_t bytes, int root, MessageRequest* request);
  absl::Status start_all_gather(const void* mine, size_t bytes, void* all, MessageRequest* request);
  // lengths[rank] bytes of each rank go to all + offsets[rank].
  absl::Status start_all_gather_blobs(const void* mine, int bytes, void* all, const int* lengths, const int* offsets,
                                      MessageRequest* request);

  // Waits until all ranks have called it.
  absl::Status finalize();
  // Asks the launcher to end all ranks with exit code 1; ends this process with 1 at the latest after some seconds.
  [[noreturn]] void abort();

  // Limit of one message or broadcast; MPI counts in int.
  static constexpr size_t kMaxBytes = size_t{1} << 30;

 private:
  struct Library;
  MpiWorld();
  absl::Status checked(const char* call, int code, int peer) const;

  std::timed_mutex mutex_;
  std::unique_ptr<Library> library_;
  std::vector<std::string> hosts_;
  int rank_ = 0, size_ = 1;
  bool finalized_ = false;
};

}  // namespace lockstep
