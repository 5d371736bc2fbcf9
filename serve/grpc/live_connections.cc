// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/live_connections.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace lockstep {
namespace {

// Since something was sent or received, in milliseconds.
int64_t silence_of(int socket) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return std::min(info.tcpi_last_data_sent, info.tcpi_last_data_recv);
}

}  // namespace

LiveConnections::~LiveConnections() {
  for (const int socket : watched_) close(socket);
}

bool LiveConnections::admit(int socket) {
  if (watched_.size() >= most_) sweep();
  if (watched_.size() >= most_ && !make_room()) return false;
  const int own = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return false;
  watched_.push_back(own);
  open_ = static_cast<int64_t>(watched_.size());
  return true;
}

void LiveConnections::sweep() {
  // The library shuts a connection down before it closes its descriptor; a client that sends nothing more has left.
  std::vector<pollfd> events;
  for (const int socket : watched_) events.push_back({.fd = socket, .events = POLLRDHUP, .revents = 0});
  if (poll(events.data(), events.size(), 0) <= 0) return;
  auto place = watched_.begin();
  for (const pollfd& event : events) {
    const auto here = place++;
    if (event.revents == 0) continue;
    // What has ended for its client ends for the library, too.
    shutdown(event.fd, SHUT_RDWR);
    close(event.fd);
    watched_.erase(here);
  }
  open_ = static_cast<int64_t>(watched_.size());
}

bool LiveConnections::make_room() {
  auto most_silent = watched_.end();
  int64_t silence = make_room_after_.count() - 1;
  for (auto place = watched_.begin(); place != watched_.end(); ++place) {
    const int64_t found = silence_of(*place);
    if (found <= silence) continue;
    silence = found;
    most_silent = place;
  }
  if (most_silent == watched_.end()) return false;
  shutdown(*most_silent, SHUT_RDWR);
  close(*most_silent);
  watched_.erase(most_silent);
  ++made_room_;
  return true;
}

}  // namespace lockstep
