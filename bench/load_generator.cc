// SPDX-License-Identifier: Apache-2.0
#include "bench/load_generator.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "bench/system_error.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string quote(std::string_view answer) {
  constexpr size_t kMost = 400;
  return fmt::format("`{}{}`", answer.substr(0, kMost), answer.size() > kMost ? "…" : "");
}

// The number behind `"classes":` at the front of `rest`, which is moved behind it.
std::optional<int64_t> next_class(std::string_view* rest) {
  constexpr std::string_view kKey = "\"classes\":";
  const size_t at = rest->find(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  rest->remove_prefix(at + kKey.size());
  rest->remove_prefix(std::min(rest->find_first_not_of(" \n"), rest->size()));
  int64_t value = 0;
  const auto [end, error] = std::from_chars(rest->data(), rest->data() + rest->size(), value);
  if (error != std::errc()) return std::nullopt;
  rest->remove_prefix(static_cast<size_t>(end - rest->data()));
  return value;
}

// One client and its one request.
class Connection {
 public:
  Connection() = default;
  Connection(Connection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Connection() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  absl::Status open(int port, int epoll, size_t index) {
    fd_ = connect_to(port);
    if (fd_ < 0) return system_error(fmt::format("cannot connect to port {}", port));
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd_, &event) != 0) return system_error("epoll_ctl");
    return absl::OkStatus();
  }

  absl::Status begin(const LoadRequest& request, int epoll, size_t index) {
    request_ = &request;
    sent_ = 0;
    answer_.clear();
    length_.reset();
    start_ = Clock::now();
    LOCKSTEP_RETURN_IF_ERROR(send_rest());
    if (is_sent()) return absl::OkStatus();
    return want(epoll, index, EPOLLIN | EPOLLOUT);
  }

  // Goes on sending a request that did not fit into the socket.
  absl::Status writable(int epoll, size_t index) {
    LOCKSTEP_RETURN_IF_ERROR(send_rest());
    return is_sent() ? want(epoll, index, EPOLLIN) : absl::OkStatus();
  }

  // Takes what has come. True when the answer is complete, and right.
  absl::StatusOr<bool> readable() {
    char chunk[1 << 16];
    const ssize_t got = ::recv(fd_, chunk, sizeof(chunk), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? absl::StatusOr<bool>(false) : system_error("recv");
    if (got == 0) return absl::UnavailableError("the server ended a connection; so far it had sent " + quote(answer_));
    answer_.append(chunk, static_cast<size_t>(got));
    if (!length_) {
      LOCKSTEP_ASSIGN_OR_RETURN(length_, answer_length(answer_));
    }
    if (!length_ || answer_.size() < *length_) return false;
    LOCKSTEP_RETURN_IF_ERROR(check_answer(answer_, request_->classes));
    return true;
  }

  double latency_s() const { return seconds_since(start_); }

 private:
  bool is_sent() const { return sent_ == request_->text.size(); }

  absl::Status send_rest() {
    while (!is_sent()) {
      const ssize_t sent = ::send(fd_, request_->text.data() + sent_, request_->text.size() - sent_, MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) return absl::OkStatus();
      if (sent < 0) return system_error("send");
      sent_ += static_cast<size_t>(sent);
    }
    return absl::OkStatus();
  }

  absl::Status want(int epoll, size_t index, uint32_t events) const {
    epoll_event event{.events = events, .data = {.u64 = index}};
    if (::epoll_ctl(epoll, EPOLL_CTL_MOD, fd_, &event) != 0) return system_error("epoll_ctl");
    return absl::OkStatus();
  }

  int fd_ = -1;
  const LoadRequest* request_ = nullptr;
  size_t sent_ = 0;
  std::string answer_;
  std::optional<size_t> length_;
  Clock::time_point start_;
};

class Loop {
 public:
  Loop(std::span<const LoadRequest> requests, const LoadOptions& options)
      : requests_(requests), options_(options), connections_(static_cast<size_t>(options.connections)) {}
  ~Loop() {
    if (epoll_ >= 0) ::close(epoll_);
  }

  absl::StatusOr<Load> run() {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) return system_error("epoll_create1");
    for (size_t i = 0; i < connections_.size(); ++i) {
      LOCKSTEP_RETURN_IF_ERROR(connections_[i].open(options_.port, epoll_, i));
    }
    start_ = Clock::now();
    for (size_t i = 0; i < connections_.size(); ++i) LOCKSTEP_RETURN_IF_ERROR(begin_next(i));
    while (running_ > 0) LOCKSTEP_RETURN_IF_ERROR(handle_events());
    load_.seconds = seconds_since(start_);
    std::sort(load_.latencies_s.begin(), load_.latencies_s.end());
    return std::move(load_);
  }

 private:
  absl::Status begin_next(size_t index) {
    const LoadRequest& request = requests_[next_++ % requests_.size()];
    ++running_;
    return connections_[index].begin(request, epoll_, index);
  }

  absl::Status handle_events() {
    epoll_event events[64];
    const double left_s = options_.seconds + options_.timeout_s - seconds_since(start_);
    const int count = left_s <= 0 ? 0 : ::epoll_wait(epoll_, events, std::size(events), static_cast<int>(left_s * 1e3));
    if (count < 0 && errno != EINTR) return system_error("epoll_wait");
    if (count == 0) {
      return absl::DeadlineExceededError(
          fmt::format("{} requests had no answer after {} s", running_, options_.seconds + options_.timeout_s));
    }
    for (int i = 0; i < count; ++i) LOCKSTEP_RETURN_IF_ERROR(handle(events[i].data.u64, events[i].events));
    return absl::OkStatus();
  }

  absl::Status handle(size_t index, uint32_t events) {
    Connection& connection = connections_[index];
    if ((events & EPOLLOUT) != 0) LOCKSTEP_RETURN_IF_ERROR(connection.writable(epoll_, index));
    if ((events & ~static_cast<uint32_t>(EPOLLOUT)) == 0) return absl::OkStatus();
    LOCKSTEP_ASSIGN_OR_RETURN(const bool done, connection.readable());
    if (!done) return absl::OkStatus();
    load_.latencies_s.push_back(connection.latency_s());
    --running_;
    if (seconds_since(start_) < options_.seconds) return begin_next(index);
    connection.close();  // or the server may, while others are still answered
    return absl::OkStatus();
  }

  const std::span<const LoadRequest> requests_;
  const LoadOptions options_;
  std::vector<Connection> connections_;
  int epoll_ = -1;
  size_t next_ = 0;
  int running_ = 0;
  Clock::time_point start_;
  Load load_;
};

}  // namespace

LoadRequest predict_request(std::string_view path, std::string_view body, std::vector<int64_t> classes) {
  return {fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      "Content-Length: {}\r\n\r\n{}",
                      path, body.size(), body),
          std::move(classes)};
}

double quantile_of(std::span<const double> ascending, double q) {
  if (ascending.empty()) return 0;
  const double rank = std::ceil(q * static_cast<double>(ascending.size()));
  return ascending[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

absl::StatusOr<std::optional<size_t>> answer_length(std::string_view text) {
  const size_t head = text.find("\r\n\r\n");
  if (head == std::string_view::npos) return std::optional<size_t>();
  constexpr std::string_view kName = "content-length:";
  for (size_t line = text.find("\r\n"); line < head; line = text.find("\r\n", line + 2)) {
    const char* name = text.data() + line + 2;
    if (head - line < kName.size() || ::strncasecmp(name, kName.data(), kName.size()) != 0) continue;
    const char* digits = name + kName.size();
    while (*digits == ' ') ++digits;
    size_t length = 0;
    if (std::from_chars(digits, text.data() + head, length).ec == std::errc()) return head + 4 + length;
  }
  return absl::UnavailableError("an answer without Content-Length: " + quote(text));
}

absl::Status check_answer(std::string_view answer, std::span<const int64_t> classes) {
  if (!answer.starts_with("HTTP/1.1 200 ")) return absl::UnavailableError("expected status 200, got " + quote(answer));
  std::string_view rest = answer.substr(std::min(answer.find("\r\n\r\n"), answer.size()));
  std::vector<int64_t> found;
  while (const std::optional<int64_t> value = next_class(&rest)) found.push_back(*value);
  if (std::equal(found.begin(), found.end(), classes.begin(), classes.end())) return absl::OkStatus();
  return absl::DataLossError(fmt::format("expected classes [{}], got [{}] in {}", fmt::join(classes, ", "),
                                         fmt::join(found, ", "), quote(answer)));
}

int connect_to(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    ::close(fd);
    errno = error;
    return -1;
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

absl::StatusOr<Load> run_load(std::span<const LoadRequest> requests, const LoadOptions& options) {
  return Loop(requests, options).run();
}

}  // namespace lockstep
