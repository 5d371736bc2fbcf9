// SPDX-License-Identifier: Apache-2.0
// A connection without sockets, for tests and the fuzz target: its bytes come from and go to strings.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "serve/http/connection.h"

namespace lockstep {

// Both sides of a MemoryTransport, kept by the test.
struct MemoryWire {
  std::string input;                                   // what the client has sent and nobody has read
  bool input_has_ended = false;                        // nothing more comes
  size_t most_read = 1 << 20, most_written = 1 << 20;  // at once
  std::string output;
  bool has_ended = false, is_closed = false;
  std::deque<std::function<void()>> calls;  // to the transport's user
  std::function<void()> waiting_read;
};

class MemoryTransport : public Transport {
 public:
  explicit MemoryTransport(MemoryWire& wire) : wire_(wire) {}

  void open(User user) override {
    wire_.calls.push_back([user = std::move(user)] { user->on_open(true); });
  }

  void read(char* into, size_t size, User user) override {
    auto call = [this, into, size, user = std::move(user)] {
      const size_t bytes = wire_.is_closed ? 0 : std::min({size, wire_.most_read, wire_.input.size()});
      std::copy_n(wire_.input.begin(), bytes, into);
      wire_.input.erase(0, bytes);
      user->on_read(bytes);
    };
    if (wire_.input.empty() && !wire_.input_has_ended) {
      wire_.waiting_read = std::move(call);
    } else {
      wire_.calls.push_back(std::move(call));
    }
  }

  void write(std::string_view first, std::string_view second, User user) override {
    wire_.calls.push_back([this, first, second, user = std::move(user)] {
      if (wire_.is_closed) return user->on_written(0);
      const std::string both = std::string(first) + std::string(second);
      const size_t bytes = std::min(both.size(), wire_.most_written);
      wire_.output.append(both, 0, bytes);
      user->on_written(bytes);
    });
  }

  void end(User user) override {
    wire_.has_ended = true;
    wire_.calls.push_back([user = std::move(user)] { user->on_end(); });
  }

  void close() override {
    wire_.is_closed = true;
    if (wire_.waiting_read) wire_.calls.push_back(std::exchange(wire_.waiting_read, nullptr));
  }

 private:
  MemoryWire& wire_;
};

// One connection of a server that runs on the calling thread.
class MemoryConnection {
 public:
  MemoryConnection(const HttpServerOptions& options, HttpHandler handler)
      : options_(options),
        handler_(std::move(handler)),
        mailbox_(std::make_shared<AnswerMailbox>(
            [this](Answer answer) { connection_->answer(answer.request, std::move(answer.response)); }, [] {})),
        context_{options_, handler_, counters_, is_stopping_, mailbox_, [this](uint64_t) { ++closed_; }},
        connection_(std::make_shared<Connection>(context_, 1, std::make_unique<MemoryTransport>(wire_))) {
    mailbox_->set_owner(std::this_thread::get_id());
    connection_->start();
  }
  ~MemoryConnection() {
    connection_->close();
    run();
    mailbox_->close();
  }
  MemoryConnection(const MemoryConnection&) = delete;
  MemoryConnection& operator=(const MemoryConnection&) = delete;

  MemoryWire& wire() { return wire_; }
  Connection& connection() { return *connection_; }
  HttpCounters& counters() { return counters_; }
  void stop_server() { is_stopping_ = true; }
  int closed() const { return closed_; }

  // Until nothing happens without further input.
  void run() {
    for (;;) {
      if (wire_.waiting_read && (!wire_.input.empty() || wire_.input_has_ended)) {
        wire_.calls.push_back(std::exchange(wire_.waiting_read, nullptr));
      }
      if (wire_.calls.empty()) return;
      const auto call = std::move(wire_.calls.front());
      wire_.calls.pop_front();
      call();
    }
  }

  // Sends this, runs, and returns all that has come back since the last call.
  std::string exchange(std::string_view input) {
    wire_.input += input;
    run();
    return std::exchange(wire_.output, {});
  }

  // As if so much time had passed.
  std::string exchange_after(std::chrono::milliseconds time) {
    connection_->check_time(Connection::Clock::now() + time);
    run();
    return std::exchange(wire_.output, {});
  }

 private:
  const HttpServerOptions options_;
  const HttpHandler handler_;
  HttpCounters counters_;
  std::atomic<bool> is_stopping_{false};
  MemoryWire wire_;
  int closed_ = 0;
  const std::shared_ptr<AnswerMailbox> mailbox_;
  ConnectionContext context_;
  const std::shared_ptr<Connection> connection_;
};

}  // namespace lockstep
