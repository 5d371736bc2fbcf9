// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/grpc_listener.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/log.h"

namespace lockstep {
namespace {

constexpr int kTickMs = 50;

int descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > (1 << 30)) return 1 << 30;
  return static_cast<int>(limit.rlim_cur);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcListener>> GrpcListener::open(Settings settings) {
  std::unique_ptr<GrpcListener> self(new GrpcListener(std::move(settings)));
  const Settings& wanted = self->settings_;
  LOCKSTEP_ASSIGN_OR_RETURN(self->listener_, Listener::open(wanted.address, wanted.port));
  self->port_ = self->listener_->port();
  // Two descriptors a connection. A new one has the lowest number that is free: one that is high says that so many are
  // open, and the rest of the process must have some left, too, when the system gives it few.
  raise_descriptor_limit(2 * (wanted.max_connections + wanted.other_descriptors));
  const int limit = descriptor_limit();
  self->most_descriptor_ = std::max(limit / 2, limit - wanted.other_descriptors);
  self->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->wake_ < 0) return absl::ResourceExhaustedError(std::string("eventfd: ") + std::strerror(errno));
  return self;
}

GrpcListener::~GrpcListener() {
  stop();
  if (wake_ >= 0) close(wake_);
}

void GrpcListener::start() {
  thread_ = std::thread([this] { run(); });
}

void GrpcListener::stop() {
  is_stopping_ = true;
  eventfd_write(wake_, 1);
  if (thread_.joinable()) thread_.join();
  listener_.reset();
}

void GrpcListener::run() {
  while (!is_stopping_) {
    std::array<pollfd, 2> events = {
        {{.fd = listener_->socket(), .events = POLLIN, .revents = 0}, {.fd = wake_, .events = POLLIN, .revents = 0}}};
    const int ready = poll(events.data(), events.size(), kTickMs);
    if (is_stopping_) return;
    connections_.sweep();
    if (ready > 0 && events[0].revents != 0) accept();
    settings_.tick();
  }
}

void GrpcListener::accept() {
  const Listener::Accepted accepted = listener_->accept([this](int socket) {
    if (socket > most_descriptor_ || !connections_.admit(socket)) {
      close(socket);
      ++turned_away_;
      return;
    }
    ++accepted_;
    settings_.take(socket);
  });
  turned_away_ += accepted.dropped;
  // Left in the queue, they would wake this thread at once again.
  if (accepted.is_exhausted) std::this_thread::sleep_for(std::chrono::milliseconds(kTickMs));
}

}  // namespace lockstep
