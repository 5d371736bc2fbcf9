// SPDX-License-Identifier: Apache-2.0
// Nonblocking messages between the ranks of a job: what a transport needs, without naming who carries them.
//
// Messages of one (sender, receiver, tag) arrive in the order sent. A buffer belongs to its request until test() has
// returned true for it. Calls never wait. One thread at a time per port.
#pragma once

#include <cstddef>

#include "core/base/status.h"

namespace lockstep {

struct MessageRequest {
  void* handle = nullptr;  // the carrier's
  bool active = false;
  int peer = -1;
  size_t bytes = 0;
  bool receiving = false;
};

class MessagePort {
 public:
  // Tags lie in [0, kTags).
  static constexpr int kTags = 32768;

  virtual ~MessagePort() = default;
  virtual absl::Status send(int to, int tag, const void* data, size_t bytes, MessageRequest* request) = 0;
  // The message must have exactly this length.
  virtual absl::Status receive(int from, int tag, void* data, size_t bytes, MessageRequest* request) = 0;
  // True when the request is complete or was never started; also drives all other transfers.
  virtual absl::StatusOr<bool> test(MessageRequest* request) = 0;
  // Withdraws a request that nobody waits for any more.
  virtual void cancel(MessageRequest* request) = 0;
};

}  // namespace lockstep
