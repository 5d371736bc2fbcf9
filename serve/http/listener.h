// SPDX-License-Identifier: Apache-2.0
// The socket that clients connect to.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/base/status.h"

namespace lockstep {

class Listener {
 public:
  struct Accepted {
    int taken = 0;
    int dropped = 0;            // closed at once: the process has no descriptor for them
    bool is_exhausted = false;  // not even for that, or no memory: to be tried again a little later
  };

  // `address` is numeric, IPv4 or IPv6; port 0 takes any free one. The error names both, and who may be the cause.
  static absl::StatusOr<std::unique_ptr<Listener>> open(const std::string& address, int port);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int socket() const { return socket_; }  // non-blocking
  int port() const { return port_; }

  // Hands the connections that wait, non-blocking and without delay, to `take`, which owns them from then on; a bounded
  // number of them.
  Accepted accept(const std::function<void(int socket)>& take);

 private:
  Listener(int socket, int port);
  bool has_waiting() const;
  bool drop_one();

  int socket_;
  const int port_;
  int spare_;  // given up to accept, and close, what there is no descriptor for
};

// As many descriptors as the system lets this process have, up to `wanted`.
void raise_descriptor_limit(int wanted);

}  // namespace lockstep
