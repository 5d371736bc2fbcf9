// SPDX-License-Identifier: Apache-2.0
// What carries a connection's bytes: a socket, TLS over one, or memory in the tests.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace lockstep {

// Called on the transport's thread, never from within a call to the transport.
class TransportUser {
 public:
  virtual ~TransportUser() = default;
  virtual void on_open(bool ok) = 0;
  virtual void on_read(size_t bytes) = 0;     // 0: nothing more comes
  virtual void on_written(size_t bytes) = 0;  // 0: nothing more can be sent
  virtual void on_end() = 0;
};

// One thread at a time. The user is kept until it has been called.
class Transport {
 public:
  using User = std::shared_ptr<TransportUser>;
  virtual ~Transport() = default;

  virtual void open(User user) = 0;
  // At least one byte into `into`, which stays until on_read().
  virtual void read(char* into, size_t size, User user) = 0;
  // At least one byte of the two, one behind the other; they stay until on_written().
  virtual void write(std::string_view first, std::string_view second, User user) = 0;
  // Says that nothing more is sent, and throws away what still comes until the other side has closed too or has sent a
  // lot: a socket closed with bytes unread would take back what it has sent.
  virtual void end(User user) = 0;
  // Now. What has not been answered yet is, with 0 or false.
  virtual void close() = 0;
};

}  // namespace lockstep
