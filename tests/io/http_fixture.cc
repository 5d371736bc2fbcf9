// SPDX-License-Identifier: Apache-2.0
#include "tests/io/http_fixture.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/check.h"

namespace lockstep {
namespace {

// False when the connection ends before `request` is `bytes` long.
bool read_up_to(int connection, size_t bytes, std::string& request) {
  char buffer[4096];
  while (request.size() < bytes) {
    const ssize_t got = ::read(connection, buffer, sizeof(buffer));
    if (got <= 0) return false;
    request.append(buffer, static_cast<size_t>(got));
  }
  return true;
}

// A head, and the body that it announces.
bool read_request(int connection, std::string& request) {
  size_t end = std::string::npos;
  while ((end = request.find("\r\n\r\n")) == std::string::npos) {
    if (!read_up_to(connection, request.size() + 1, request)) return false;
  }
  constexpr std::string_view kLength = "Content-Length: ";
  const size_t length = request.find(kLength);
  const size_t body = length < end ? std::stoul(request.substr(length + kLength.size())) : 0;
  return read_up_to(connection, end + 4 + body, request);
}

void send_all(int connection, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = ::send(connection, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;
    sent += static_cast<size_t>(n);
  }
}

}  // namespace

HttpFixture::HttpFixture(std::map<std::string, HttpReply> replies) : replies_(std::move(replies)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  LOCKSTEP_CHECK_GE(listener_, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  LOCKSTEP_CHECK_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
  LOCKSTEP_CHECK_EQ(::listen(listener_, 16), 0);
  LOCKSTEP_CHECK_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  port_ = ntohs(address.sin_port);
  LOCKSTEP_CHECK_EQ(::pipe(stop_pipe_), 0);
  thread_ = std::thread([this] { serve(); });
}

HttpFixture::~HttpFixture() {
  ::close(stop_pipe_[1]);  // makes the reading end readable
  thread_.join();
  ::close(stop_pipe_[0]);
  ::close(listener_);
}

std::string HttpFixture::url(const std::string& path) const {
  return fmt::format("http://127.0.0.1:{}{}", port_, path);
}

void HttpFixture::serve() {
  while (true) {
    pollfd waiting[2] = {{listener_, POLLIN, 0}, {stop_pipe_[0], POLLIN, 0}};
    ::poll(waiting, 2, -1);
    if (waiting[1].revents != 0) return;
    const int connection = ::accept(listener_, nullptr, nullptr);
    if (connection < 0) continue;
    answer(connection);
    ::close(connection);
  }
}

std::vector<std::string> HttpFixture::received() const {
  const std::lock_guard lock(mutex_);
  return received_;
}

void HttpFixture::answer(int connection) {
  std::string request;
  if (!read_request(connection, request)) return;
  {
    const std::lock_guard lock(mutex_);
    received_.push_back(request);
  }
  ++requests_;
  const size_t begin = request.find(' ') + 1;
  const auto it = replies_.find(request.substr(begin, request.find(' ', begin) - begin));
  const HttpReply reply = it != replies_.end() ? it->second : HttpReply{.status = 404, .body = "not here"};
  if (reply.stall) {
    pollfd stop{stop_pipe_[0], POLLIN, 0};
    ::poll(&stop, 1, -1);
    return;
  }
  const auto length = reply.claimed_length >= 0 ? reply.claimed_length : static_cast<long long>(reply.body.size());
  const std::string location = reply.location.empty() ? "" : fmt::format("Location: {}\r\n", reply.location);
  const std::string bytes = fmt::format("HTTP/1.1 {} Status\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n{}",
                                        reply.status, length, location, reply.body);
  send_all(connection, reply.raw.empty() ? bytes : reply.raw);
}

}  // namespace lockstep
