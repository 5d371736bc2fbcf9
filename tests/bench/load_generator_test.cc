// SPDX-License-Identifier: Apache-2.0
#include "bench/load_generator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "bench/server_process.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

std::string answer(const std::string& body, int status = 200) {
  return fmt::format("HTTP/1.1 {} X\r\ncontent-length: {}\r\n\r\n{}", status, body.size(), body);
}

// Answers every request of two connections at most with the same bytes, in two pieces.
class FixedServer {
 public:
  explicit FixedServer(std::string answer) : answer_(std::move(answer)), fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, 8), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    for (std::thread& thread : threads_) thread = std::thread([this] { serve_one(); });
  }
  ~FixedServer() {
    ::shutdown(fd_, SHUT_RDWR);  // ends accept()
    for (std::thread& thread : threads_) thread.join();
    ::close(fd_);
  }
  int port() const { return port_; }
  int requests() const { return requests_; }

 private:
  void serve_one() {
    const int fd = ::accept(fd_, nullptr, nullptr);
    if (fd < 0) return;
    std::string got;
    char chunk[4096];
    for (ssize_t n; (n = ::recv(fd, chunk, sizeof(chunk), 0)) > 0;) {
      got.append(chunk, static_cast<size_t>(n));
      if (!got.ends_with("}")) continue;
      got.clear();
      ++requests_;
      const size_t half = answer_.size() / 2;
      ::send(fd, answer_.data(), half, MSG_NOSIGNAL);
      std::this_thread::yield();
      ::send(fd, answer_.data() + half, answer_.size() - half, MSG_NOSIGNAL);
      if (answer_.ends_with("closing")) break;
    }
    ::close(fd);
  }

  const std::string answer_;
  const int fd_;
  int port_ = 0;
  std::atomic<int> requests_{0};
  std::thread threads_[2];
};

absl::StatusOr<Load> load_of(const FixedServer& server, double timeout_s = 30) {
  const std::vector<LoadRequest> requests = {
      predict_request("/v1/models/m:predict", R"({"instances": [[1]]})", {7, 3})};
  return run_load(requests, {.port = server.port(), .connections = 2, .seconds = 0.02, .timeout_s = timeout_s});
}

TEST(LoadGenerator, CountsAndTimesRightAnswers) {
  const FixedServer server(answer(R"({"predictions": [{"classes": 7, "p": [0.5]}, {"classes":3}]})"));
  const auto load = load_of(server);
  ASSERT_TRUE(load.ok()) << load.status();
  EXPECT_EQ(std::ssize(load->latencies_s), server.requests());
  EXPECT_GE(server.requests(), 2);
  EXPECT_TRUE(std::is_sorted(load->latencies_s.begin(), load->latencies_s.end()));
  EXPECT_GT(load->latencies_s.front(), 0);
  EXPECT_GE(load->seconds, load->latencies_s.back());
  EXPECT_DOUBLE_EQ(load->requests_per_s(), static_cast<double>(server.requests()) / load->seconds);
}

TEST(LoadGenerator, LetsAServerEndAConnectionThatIsDone) {
  const FixedServer server(answer(R"({"predictions": [{"classes": 7}, {"classes": 3}]} closing)"));
  const std::vector<LoadRequest> requests = {predict_request("/", "{}", {7, 3})};
  const auto load = run_load(requests, {.port = server.port(), .connections = 2, .seconds = 0});
  ASSERT_TRUE(load.ok()) << load.status();
  EXPECT_EQ(load->latencies_s.size(), 2);
}

TEST(LoadGenerator, RefusesWhatIsNotRight) {
  for (const auto& [text, code, why] :
       {std::tuple(answer(R"({"predictions": [{"classes": 7}, {"classes": 8}]})"), absl::StatusCode::kDataLoss,
                   "expected classes [7, 3], got [7, 8]"),
        {answer(R"({"predictions": [{"classes": 7}]})"), absl::StatusCode::kDataLoss, "got [7]"},
        {answer(R"({"predictions": [{"classes": "7"}, {"classes": 3}]})"), absl::StatusCode::kDataLoss, "got []"},
        {answer(R"({"error": "the queue is full"})", 503), absl::StatusCode::kUnavailable, "the queue is full"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", absl::StatusCode::kUnavailable, "Content-Length"},
        {"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nclosing", absl::StatusCode::kUnavailable,
         "ended a connection"}}) {
    const FixedServer server(text);
    const absl::Status status = load_of(server).status();
    EXPECT_EQ(status.code(), code) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }
}

TEST(LoadGenerator, GivesUpOnASilentServer) {
  const FixedServer server("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf");
  EXPECT_EQ(load_of(server, /*timeout_s=*/0.05).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(LoadGenerator, TakesTheNearestRank) {
  const std::vector<double> values = {1, 2, 3, 4};
  EXPECT_EQ(quantile_of(values, 0.5), 2);
  EXPECT_EQ(quantile_of(values, 0.99), 4);
  EXPECT_EQ(quantile_of({values.data(), 1}, 0.5), 1);
  EXPECT_EQ(quantile_of({}, 0.5), 0);
}

TEST(ServerProcess, SaysWhyThereIsNone) {
  const std::string log = testing::TempDir() + "server.log";
  const auto ended = ServerProcess::start({"sh", "-c", "echo no model here; exit 1"}, 1, log);
  EXPECT_THAT(std::string(ended.status().message()), HasSubstr("no model here"));
  const auto missing = ServerProcess::start({testing::TempDir() + "none"}, 1, log);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("cannot start " + testing::TempDir() + "none"));
}

}  // namespace
}  // namespace lockstep
