// SPDX-License-Identifier: Apache-2.0
// One client's connection: reads a request, has the handler answer it, writes the answer, and so on; refuses what is
// malformed, too long or too slow. Knows no sockets and no threads: all calls come from one, except to the handler's
// `respond`.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "serve/http/answer_mailbox.h"
#include "serve/http/answer_text.h"
#include "serve/http/http_server.h"
#include "serve/http/read_buffer.h"
#include "serve/http/request_parser.h"
#include "serve/http/transport.h"

namespace lockstep {

// Of all connections of a server.
struct HttpCounters {
  std::atomic<int64_t> connections{0}, accepted{0}, turned_away{0}, requests{0}, malformed{0}, timed_out{0};
  std::atomic<int64_t> made_room{0};
  std::atomic<int64_t> unfinished_bytes{0};  // as bounded by HttpServerOptions::max_unfinished_bytes
};

// What the connections of one I/O thread share. Outlives them.
struct ConnectionContext {
  const HttpServerOptions& options;
  const HttpHandler& handler;
  HttpCounters& counters;
  const std::atomic<bool>& is_stopping;
  std::shared_ptr<AnswerMailbox> mailbox;
  std::function<void(uint64_t id)> on_closed;
  HttpDate date = {};
};

class Connection final : public TransportUser, public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  Connection(ConnectionContext& context, uint64_t id, std::unique_ptr<Transport> transport);

  void start();
  // Ignored unless it is for the request that runs.
  void answer(uint64_t request, HttpResponse response);
  // To be called now and then: acts when what is waited for is overdue.
  void check_time(Clock::time_point now);
  bool is_overdue(Clock::time_point now) const { return now >= due_; }
  // Since when nothing but the client is waited for; max() while its request runs.
  Clock::time_point waiting_since() const {
    return state_ == State::kHandling || state_ == State::kClosed ? Clock::time_point::max() : since_;
  }
  // No further request: closes unless one runs or has begun.
  void finish();
  void close();

  void on_open(bool ok) override;
  void on_read(size_t bytes) override;
  void on_written(size_t bytes) override;
  void on_end() override;

 private:
  enum class State { kOpening, kIdle, kHead, kContinuing, kBody, kHandling, kAnswering, kEnding, kClosed };

  bool is_reading_request() const { return state_ == State::kIdle || state_ == State::kHead || state_ == State::kBody; }
  void enter(State state, std::chrono::milliseconds bound);
  void extend(size_t moved_bytes);
  void next_request();
  void read_more();
  void process();
  bool accept_head();
  void handle();
  bool count_body();
  void forget_body();
  void turn_away_body();
  void refuse(int status, const std::string& reason);
  void give_up(int status, const std::string& reason);
  void send(HttpResponse response);
  void write_rest();
  void after_answer();

  ConnectionContext& context_;
  const uint64_t id_;
  const std::unique_ptr<Transport> transport_;
  RequestParser parser_;
  ReadBuffer buffer_;
  std::string common_headers_;  // of the answer to come
  std::string head_, body_;     // of the answer
  size_t written_ = 0;          // of both
  uint64_t request_ = 0;        // number of the request, from 1
  State state_ = State::kOpening;
  bool is_reading_ = false;                                   // the transport holds a part of buffer_
  bool keeps_alive_ = true;                                   // after the answer
  Clock::time_point since_, due_ = Clock::time_point::max();  // of the state
  int64_t unfinished_bytes_ = 0;                              // this connection's part of all
};

}  // namespace lockstep
