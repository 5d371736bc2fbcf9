// SPDX-License-Identifier: Apache-2.0
// How many connections are open, which the gRPC library does not tell: a second descriptor of each shows its end.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>

namespace lockstep {

// For one thread, but for the counts.
class LiveConnections {
 public:
  // One that has been silent for so long, in both directions, may be broken off for a new one.
  LiveConnections(int most, std::chrono::milliseconds make_room_after)
      : most_(static_cast<size_t>(most)), make_room_after_(make_room_after) {}
  ~LiveConnections();
  LiveConnections(const LiveConnections&) = delete;
  LiveConnections& operator=(const LiveConnections&) = delete;

  // Whether there is room for this connection, if need be in the place of the most silent one. It is counted until
  // either side ends it. False also when there is no descriptor for it. The socket remains the caller's.
  bool admit(int socket);
  // Forgets those that have ended, so that what they were is free for the library to close; to be called often.
  void sweep();

  int64_t open() const { return open_; }
  int64_t made_room() const { return made_room_; }

 private:
  bool make_room();

  const size_t most_;
  const std::chrono::milliseconds make_room_after_;
  std::list<int> watched_;  // descriptors of our own
  std::atomic<int64_t> open_{0}, made_room_{0};
};

}  // namespace lockstep
