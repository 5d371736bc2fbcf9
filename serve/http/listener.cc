// SPDX-License-Identifier: Apache-2.0
#include "serve/http/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/log.h"

namespace lockstep {
namespace {

constexpr int kMostAtOnce = 64;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

absl::StatusOr<Address> parse_address(const std::string& text, int port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(fmt::format("port {}: expected 1 to 65535, or 0 for any free one", port));
  }
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof(*v6);
  } else {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is no address to listen at: expected a number such as 127.0.0.1, 0.0.0.0, ::1 or ::", text));
  }
  return address;
}

absl::Status listen_error(const std::string& address, int port) {
  const int error = errno;
  return absl::UnavailableError(fmt::format(
      "cannot listen at {} port {}: {}{}", address, port, std::strerror(error),
      error == EADDRINUSE ? " (another server may be running; choose another port, or 0 for a free one)" : ""));
}

void set_option(int socket, int level, int option, int value) {
  if (setsockopt(socket, level, option, &value, sizeof(value)) != 0) {
    LOG_WARNING("setsockopt {}: {}", option, std::strerror(errno));
  }
}

int open_spare() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::open(const std::string& address, int port) {
  LOCKSTEP_ASSIGN_OR_RETURN(Address where, parse_address(address, port));
  const int socket = ::socket(where.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return listen_error(address, port);
  set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  if (where.storage.ss_family == AF_INET6) set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);  // :: is IPv4 too
  if (bind(socket, where.get(), where.size) != 0 || listen(socket, SOMAXCONN) != 0) {
    const absl::Status error = listen_error(address, port);
    ::close(socket);
    return error;
  }
  Address bound;
  bound.size = sizeof(bound.storage);
  getsockname(socket, bound.get(), &bound.size);
  // The port lies at the same place for both families.
  const int actual = ntohs(reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port);
  return std::unique_ptr<Listener>(new Listener(socket, actual));
}

Listener::Listener(int socket, int port) : socket_(socket), port_(port), spare_(open_spare()) {}

Listener::~Listener() {
  close(socket_);
  if (spare_ >= 0) close(spare_);
}

Listener::Accepted Listener::accept(const std::function<void(int socket)>& take) {
  Accepted accepted;
  for (int i = 0; i < kMostAtOnce; ++i) {
    const int socket = accept4(socket_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket >= 0) {
      const int on = 1;
      setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // fails when the client has gone already
      take(socket);
      ++accepted.taken;
      continue;
    }
    const int error = errno;
    if (error == EAGAIN || error == EWOULDBLOCK) return accepted;
    const bool lacks_descriptor = error == EMFILE || error == ENFILE;
    // Which is said before the queue is looked at.
    if (lacks_descriptor && !has_waiting()) return accepted;
    if (lacks_descriptor && drop_one()) {
      ++accepted.dropped;
    } else if (lacks_descriptor || error == ENOBUFS || error == ENOMEM) {
      accepted.is_exhausted = true;
      return accepted;
    }
    // Any other error is that of one connection: it broke before it was accepted.
  }
  return accepted;
}

bool Listener::has_waiting() const {
  pollfd waiting{.fd = socket_, .events = POLLIN, .revents = 0};
  return poll(&waiting, 1, 0) > 0;
}

// Left in the queue it would be announced again and again, and its client would wait for an answer that does not come.
bool Listener::drop_one() {
  if (spare_ < 0) spare_ = open_spare();
  if (spare_ < 0) return false;
  close(std::exchange(spare_, -1));
  const int socket = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
  if (socket >= 0) close(socket);
  spare_ = open_spare();
  return socket >= 0;
}

void raise_descriptor_limit(int wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= static_cast<rlim_t>(wanted)) return;
  limit.rlim_cur = std::min(limit.rlim_max, static_cast<rlim_t>(wanted));
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace lockstep
