// SPDX-License-Identifier: Apache-2.0
#include "tests/serve/http/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/base/check.h"

namespace lockstep {
namespace {

constexpr timeval kPatience{10, 0};

}  // namespace

HttpClient::HttpClient(int port, bool ipv6)
    : socket_(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  LOCKSTEP_CHECK_GE(socket_, 0);
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<uint16_t>(port));
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = v4.sin_port;
  v6.sin6_addr = in6addr_loopback;
  const int result = ipv6 ? connect(socket_, reinterpret_cast<sockaddr*>(&v6), sizeof(v6))
                          : connect(socket_, reinterpret_cast<sockaddr*>(&v4), sizeof(v4));
  LOCKSTEP_CHECK_EQ(result, 0);
}

HttpClient::~HttpClient() { close(socket_); }

bool HttpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void HttpClient::end() { shutdown(socket_, SHUT_WR); }

void HttpClient::reset() {
  const linger at_once{1, 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(std::exchange(socket_, -1));
}

std::string HttpClient::receive() {
  constexpr std::string_view kLength = "Content-Length: ";
  char bytes[4096];
  for (;;) {
    const size_t end = received_.find("\r\n\r\n");
    if (end != std::string::npos) {
      const size_t length = received_.substr(0, end).find(kLength);
      const size_t body = length == std::string::npos ? 0 : std::stoul(received_.substr(length + kLength.size()));
      if (received_.size() >= end + 4 + body) {
        const std::string answer = received_.substr(0, end + 4 + body);
        received_.erase(0, answer.size());
        return answer;
      }
    }
    const ssize_t got = recv(socket_, bytes, sizeof(bytes), 0);
    if (got <= 0) return "";
    received_.append(bytes, static_cast<size_t>(got));
  }
}

std::string HttpClient::receive_all() {
  char bytes[4096];
  ssize_t got = 0;
  while ((got = recv(socket_, bytes, sizeof(bytes), 0)) > 0) received_.append(bytes, static_cast<size_t>(got));
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) received_ += "timeout";
  return std::exchange(received_, {});
}

}  // namespace lockstep
