// SPDX-License-Identifier: Apache-2.0
// A port of this machine that refuses connections.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "core/base/check.h"

namespace lockstep {

// At 127.0.0.1, for as long as it lives: nobody else gets the port, and nobody listens. (One that was free a moment ago
// may be another program's by now.)
class DeafPort {
 public:
  DeafPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    LOCKSTEP_CHECK_GE(socket_, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    LOCKSTEP_CHECK_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    LOCKSTEP_CHECK_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~DeafPort() { ::close(socket_); }
  DeafPort(const DeafPort&) = delete;
  DeafPort& operator=(const DeafPort&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_ = -1, port_ = 0;
};

}  // namespace lockstep
