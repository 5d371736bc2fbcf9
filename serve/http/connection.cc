// SPDX-License-Identifier: Apache-2.0
#include "serve/http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "core/base/log.h"
#include "serve/http/http_policy.h"

namespace lockstep {
namespace {

constexpr size_t kReadBytes = 16 << 10, kBodyReadBytes = 128 << 10;
// A body up to here is copied behind the head: one system call and one TLS record for both.
constexpr size_t kJoinedBytes = 16 << 10;
// Of a body, which nobody counts: small requests find room however many large ones are on their way.
constexpr size_t kUncountedBytes = 64 << 10;
// The slowest that a body or an answer may move for long.
constexpr int64_t kSlowestBytesPerSecond = 32 << 10;
// For the client to read the last answer and close.
constexpr std::chrono::seconds kEndTime{2};
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

ParserLimits parser_limits(const HttpServerOptions& options) {
  return {static_cast<size_t>(options.max_header_bytes), static_cast<uint64_t>(options.max_body_bytes)};
}

}  // namespace

Connection::Connection(ConnectionContext& context, uint64_t id, std::unique_ptr<Transport> transport)
    : context_(context), id_(id), transport_(std::move(transport)), parser_(parser_limits(context.options)) {}

void Connection::start() {
  enter(State::kOpening, context_.options.header_timeout);
  transport_->open(shared_from_this());
}

void Connection::on_open(bool ok) {
  if (state_ != State::kOpening) return;
  if (!ok) return close();
  enter(State::kIdle, context_.options.idle_timeout);
  if (context_.is_stopping) return close();
  read_more();
}

void Connection::enter(State state, std::chrono::milliseconds bound) {
  state_ = state;
  since_ = Clock::now();
  due_ = since_ + bound;
}

void Connection::extend(size_t moved_bytes) {
  due_ += std::chrono::microseconds(static_cast<int64_t>(moved_bytes) * 1'000'000 / kSlowestBytesPerSecond);
}

void Connection::read_more() {
  if (is_reading_) return;
  buffer_.make_room(state_ == State::kBody ? kBodyReadBytes : kReadBytes);
  is_reading_ = true;
  transport_->read(buffer_.room(), buffer_.room_size(), shared_from_this());
}

void Connection::on_read(size_t bytes) {
  is_reading_ = false;
  if (state_ == State::kClosed) return;
  if (bytes > 0) buffer_.commit(bytes);
  if (!is_reading_request()) return;  // too late: it has been answered that it took too long
  if (bytes == 0) {
    if (!parser_.has_begun()) return close();
    // The client may still listen, though it has nothing more to say.
    return refuse(400, "the connection ended in the middle of the request");
  }
  if (state_ == State::kBody) extend(bytes);
  process();
}

// Goes on with what is in the buffer.
void Connection::process() {
  for (;;) {
    const bool was_in_head = parser_.state() == RequestParser::State::kHead;
    buffer_.consume(parser_.put(buffer_.view()));
    switch (parser_.state()) {
      case RequestParser::State::kHead:
        if (parser_.has_begun() && state_ == State::kIdle) enter(State::kHead, context_.options.header_timeout);
        return read_more();
      case RequestParser::State::kBody:
        if (!count_body()) return turn_away_body();
        if (!was_in_head) return read_more();
        if (!accept_head()) return;
        break;
      case RequestParser::State::kDone:
        if (was_in_head && !accept_head()) return;
        return handle();
      case RequestParser::State::kFailed:
        return refuse(parser_.error().status, parser_.error().reason);
    }
  }
}

// False when the request has been answered, or a write goes first.
bool Connection::accept_head() {
  const bool has_body = parser_.state() == RequestParser::State::kBody;
  const HttpRequest& head = parser_.request();
  if (auto answer = answer_to_head(head, context_.options)) {
    ++context_.counters.requests;
    common_headers_ = common_headers(head, context_.options);
    // The body is not read: what follows is no request.
    keeps_alive_ = parser_.keeps_alive() && !has_body;
    send(std::move(*answer));
    return false;
  }
  const std::string_view expected = parser_.is_http_1_0() ? "" : head.header("expect");
  if (!expected.empty() && !equal_ignoring_case(expected, "100-continue")) {
    refuse(417, fmt::format("Expect: '{}': only '100-continue' is understood", expected));
    return false;
  }
  if (!has_body) return true;
  enter(State::kBody, context_.options.body_timeout);
  if (expected.empty() || !buffer_.view().empty()) return true;  // a client that has begun to send does not wait
  enter(State::kContinuing, context_.options.write_timeout);
  head_ = kContinue;
  written_ = 0;
  write_rest();
  return false;
}

// False when all bodies that are on their way take too much memory.
bool Connection::count_body() {
  const size_t held = parser_.request().body.size();
  const auto counted = static_cast<int64_t>(std::max(held, kUncountedBytes) - kUncountedBytes);
  const int64_t more = counted - std::exchange(unfinished_bytes_, counted);
  return more == 0 || (context_.counters.unfinished_bytes += more) <= context_.options.max_unfinished_bytes;
}

void Connection::forget_body() { context_.counters.unfinished_bytes -= std::exchange(unfinished_bytes_, 0); }

void Connection::turn_away_body() {
  ++context_.counters.turned_away;
  give_up(503, "too many large requests are on their way: try again later");
}

void Connection::handle() {
  forget_body();  // it is the handler's, who has it for a moment
  ++context_.counters.requests;
  HttpRequest& request = parser_.request();
  common_headers_ = common_headers(request, context_.options);
  keeps_alive_ = parser_.keeps_alive();
  ++request_;
  enter(State::kHandling, context_.options.request_timeout);
  request.received = due_ - context_.options.request_timeout;
  request.deadline = due_;
  try {
    context_.handler(std::move(request), make_respond(context_.mailbox, id_, request_));
  } catch (const std::exception& error) {
    // Of a library, or out of memory: this request fails, not the server.
    LOG_ERROR("a request's handler failed: {}", error.what());
    answer(request_, http_error(500, "internal error"));
  }
}

void Connection::answer(uint64_t request, HttpResponse response) {
  if (state_ == State::kHandling && request == request_) send(std::move(response));
}

void Connection::refuse(int status, const std::string& reason) {
  ++context_.counters.malformed;
  give_up(status, reason);
}

// What follows on the connection cannot be understood any more.
void Connection::give_up(int status, const std::string& reason) {
  common_headers_ = common_headers(parser_.request(), context_.options);
  keeps_alive_ = false;
  HttpResponse response = http_error(status, reason);
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  send(std::move(response));
}

void Connection::send(HttpResponse response) {
  if (response.status < 200 || response.status > 599) {
    response = http_error(500, fmt::format("the handler answered with status {}", response.status));
  }
  if (context_.is_stopping) keeps_alive_ = false;
  head_.clear();
  append_answer_head(response,
                     {.is_http_1_0 = parser_.is_http_1_0(),
                      .keeps_alive = keeps_alive_,
                      .date = context_.date.now(),
                      .headers = common_headers_},
                     head_);
  body_.clear();
  if (status_has_body(response.status) && !parser_.is_head_request()) {
    if (response.body.size() <= kJoinedBytes) {
      head_ += response.body;
    } else {
      body_ = std::move(response.body);
    }
  }
  written_ = 0;
  enter(State::kAnswering, context_.options.write_timeout);
  write_rest();
}

void Connection::write_rest() {
  const std::string_view head = std::string_view(head_).substr(std::min(written_, head_.size()));
  const std::string_view body = std::string_view(body_).substr(written_ - (head_.size() - head.size()));
  transport_->write(head, body, shared_from_this());
}

void Connection::on_written(size_t bytes) {
  if (state_ != State::kAnswering && state_ != State::kContinuing) return;
  if (bytes == 0) return close();
  written_ += bytes;
  if (written_ < head_.size() + body_.size()) {
    extend(bytes);
    return write_rest();
  }
  if (state_ == State::kAnswering) return after_answer();
  enter(State::kBody, context_.options.body_timeout);
  process();
}

void Connection::after_answer() {
  if (body_.capacity() > kBodyReadBytes) body_ = std::string();
  if (keeps_alive_ && !context_.is_stopping) return next_request();
  enter(State::kEnding, kEndTime);
  transport_->end(shared_from_this());
}

void Connection::next_request() {
  parser_.reset();
  buffer_.shrink(kReadBytes);
  enter(State::kIdle, context_.options.idle_timeout);
  if (buffer_.view().empty()) return read_more();
  process();
}

void Connection::on_end() { close(); }

void Connection::check_time(Clock::time_point now) {
  if (!is_overdue(now)) return;
  switch (state_) {
    case State::kHead:
      ++context_.counters.timed_out;
      return give_up(408, fmt::format("no complete request line and headers within {} ms",
                                      context_.options.header_timeout.count()));
    case State::kBody:
      ++context_.counters.timed_out;
      return give_up(408, fmt::format("no complete body within {} ms and a second for each {} KiB",
                                      context_.options.body_timeout.count(), kSlowestBytesPerSecond >> 10));
    case State::kHandling:
      ++context_.counters.timed_out;
      return send(http_error(504, fmt::format("no answer within {} ms", context_.options.request_timeout.count())));
    case State::kOpening:
    case State::kContinuing:
    case State::kAnswering:
      ++context_.counters.timed_out;
      return close();
    case State::kIdle:
    case State::kEnding:
    case State::kClosed:
      return close();
  }
}

void Connection::finish() {
  if (state_ == State::kOpening || state_ == State::kIdle) close();
}

void Connection::close() {
  if (std::exchange(state_, State::kClosed) == State::kClosed) return;
  due_ = Clock::time_point::max();
  forget_body();
  transport_->close();
  context_.on_closed(id_);
}

}  // namespace lockstep
