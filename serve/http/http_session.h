// SPDX-License-Identifier: Apache-2.0
// One connection of the HTTP server. Private to this folder: Boost's headers are heavy.
#pragma once

#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/optional.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "serve/http/http_policy.h"
#include "serve/http/http_server.h"

namespace lockstep {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

// A connection, as the server sees it. Both calls come from any thread.
class HttpConnection {
 public:
  virtual ~HttpConnection() = default;
  virtual void finish() = 0;  // no further request
  virtual void close() = 0;   // now
};

// What the connections of a server share. It outlives them: an answer may come late.
struct HttpShared {
  HttpShared(const HttpServerOptions& server_options, HttpHandler request_handler)
      : options(server_options), handler(std::move(request_handler)), context(server_options.threads) {}

  const HttpServerOptions options;
  const HttpHandler handler;
  asio::io_context context;
  std::atomic<bool> stopping{false};
  std::atomic<int64_t> accepted{0}, turned_away{0}, requests{0}, malformed{0}, timed_out{0};

  std::mutex mutex;  // guards what follows
  std::unordered_map<HttpConnection*, std::weak_ptr<HttpConnection>> connections;
};

// `Stream` is beast::tcp_stream or beast::ssl_stream of it; everything happens on its executor, a strand.
template <typename Stream>
class HttpSession : public HttpConnection, public std::enable_shared_from_this<HttpSession<Stream>> {
 public:
  HttpSession(std::shared_ptr<HttpShared> shared, Stream stream)
      : shared_(std::move(shared)), stream_(std::move(stream)), timer_(stream_.get_executor()) {}

  ~HttpSession() override {
    const std::lock_guard lock(shared_->mutex);
    shared_->connections.erase(this);
  }

  void start() {
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->connections.emplace(this, this->weak_from_this());
    }
    asio::dispatch(stream_.get_executor(), [self = this->shared_from_this()] { self->begin(); });
  }

  void finish() override {
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] {
      if (self->is_idle_) self->tcp().close();
    });
  }

  void close() override {
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] {
      self->timer_.cancel();
      self->tcp().close();
    });
  }

 private:
  static constexpr bool kIsTls = !std::is_same_v<Stream, beast::tcp_stream>;
  static constexpr size_t kLingerBytes = 1 << 20;
  static constexpr std::chrono::seconds kLingerTime{2};

  beast::tcp_stream& tcp() { return beast::get_lowest_layer(stream_); }
  const HttpServerOptions& options() const { return shared_->options; }
  // A completion handler that keeps the session alive.
  template <typename Member>
  auto then(Member member) {
    return
        [self = this->shared_from_this(), member](beast::error_code error, auto&&...) { (self.get()->*member)(error); };
  }

  void begin() {
    beast::error_code ignored;
    tcp().socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    if constexpr (kIsTls) {
      tcp().expires_after(options().header_timeout);
      stream_.async_handshake(asio::ssl::stream_base::server, then(&HttpSession::after_handshake));
    } else {
      wait_for_request();
    }
  }

  void after_handshake(beast::error_code error) {
    if (!error) wait_for_request();
  }

  // Until the first byte of a request: the time between requests is another than that for a request's head.
  void wait_for_request() {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(options().max_header_bytes));
    parser_->body_limit(static_cast<uint64_t>(options().max_body_bytes));
    head_ = HttpRequest();
    answers_head_ = false;
    ++current_;
    if (buffer_.size() > 0) return read_head({});
    if (shared_->stopping) return tcp().close();
    is_idle_ = true;
    tcp().expires_after(options().idle_timeout);
    stream_.async_read_some(buffer_.prepare(kReadBytes),
                            [self = this->shared_from_this()](beast::error_code error, size_t bytes) {
                              self->is_idle_ = false;
                              self->buffer_.commit(bytes);
                              self->read_head(error);
                            });
  }

  void read_head(beast::error_code error) {
    if (error) return tcp().close();  // the client has gone, or was silent for too long
    tcp().expires_after(options().header_timeout);
    http::async_read_header(stream_, buffer_, *parser_, then(&HttpSession::after_head));
  }

  void after_head(beast::error_code error) {
    if (error) return refuse(error, "headers");
    ++shared_->requests;
    const auto& message = parser_->get();
    answers_head_ = message.method() == http::verb::head;
    if (const char* reason = take_head()) return refuse(400, reason);
    if (const auto answer = answer_to_head(head_, options())) {
      closes_ = !parser_->is_done();
      return answer_with(current_, *answer);
    }
    if (parser_->is_done()) return handle();
    if (head_.header("expect").empty()) return read_body();
    if (!beast::iequals(message[http::field::expect], "100-continue"))
      return refuse(417, "expected Expect: 100-continue");
    tcp().expires_after(options().write_timeout);
    asio::async_write(stream_, asio::buffer(kContinue), then(&HttpSession::after_continue));
  }

  // Fills head_; or says what is wrong.
  const char* take_head() {
    const auto& message = parser_->get();
    head_.method = answers_head_ ? "GET" : std::string(message.method_string());
    for (const auto& field : message) {
      std::string name(field.name_string());
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      head_.headers.emplace_back(std::move(name), std::string(field.value()));
    }
    const std::string_view target(message.target().data(), message.target().size());
    if (!split_target(target, head_.path, head_.query)) return "the target is no path: expected /path, percent-encoded";
    if (message.count(http::field::host) > 1 || (message.version() >= 11 && message.count(http::field::host) == 0)) {
      return "expected one Host header";
    }
    if (message.count(http::field::content_length) > 1) return "expected one Content-Length header at most";
    return nullptr;
  }

  void after_continue(beast::error_code error) {
    if (!error) read_body();
  }

  void read_body() {
    tcp().expires_after(options().body_timeout);
    http::async_read(stream_, buffer_, *parser_, then(&HttpSession::after_body));
  }

  void after_body(beast::error_code error) {
    if (error) return refuse(error, "body");
    handle();
  }

  void handle() {
    head_.body = std::move(parser_->get().body());
    head_.received = std::chrono::steady_clock::now();
    head_.deadline = head_.received + options().request_timeout;
    tcp().expires_never();
    // Keeps the session alive while the handler has the request: `respond` does not.
    timer_.expires_at(head_.deadline);
    timer_.async_wait([self = this->shared_from_this(), request = current_](beast::error_code error) {
      if (!error) self->answer_late(request);
    });
    common_headers_ = common_headers(head_, options());
    shared_->handler(std::move(head_), [weak = this->weak_from_this(), request = current_](HttpResponse response) {
      const auto self = weak.lock();
      if (!self) return;
      asio::dispatch(self->stream_.get_executor(), [self, request, response = std::move(response)]() mutable {
        self->answer_with(request, std::move(response));
      });
    });
  }

  void answer_late(uint64_t request) {
    if (request != current_ || is_answered_) return;
    ++shared_->timed_out;
    closes_ = true;
    answer_with(request,
                http_error(504, "no answer within " + std::to_string(options().request_timeout.count()) + " ms"));
  }

  // The first answer to the request counts.
  void answer_with(uint64_t request, HttpResponse response) {
    if (request != current_ || is_answered_) return;
    is_answered_ = true;
    timer_.cancel();
    response_ = {};
    response_.version(parser_->get().version() == 10 ? 10 : 11);
    response_.result(static_cast<unsigned>(response.status));
    for (const auto& [name, value] : common_headers_) response_.set(name, value);
    for (const auto& [name, value] : response.headers) response_.set(name, value);
    const bool has_body = response.status != 204 && response.status != 304;
    if (has_body) {
      response_.set(http::field::content_type, response.content_type);
      response_.content_length(response.body.size());
      if (!answers_head_) response_.body() = std::move(response.body);
    }
    keeps_alive_ = parser_->get().keep_alive() && !closes_ && !shared_->stopping;
    response_.keep_alive(keeps_alive_);
    tcp().expires_after(options().write_timeout);
    http::async_write(stream_, response_, then(&HttpSession::after_write));
  }

  void after_write(beast::error_code error) {
    if (error) return tcp().close();
    is_answered_ = false;
    if (keeps_alive_) return wait_for_request();
    end();
  }

  // An error of reading: answered when the client can still be told.
  void refuse(beast::error_code error, const char* part) {
    if (error == http::error::end_of_stream || error == asio::error::operation_aborted ||
        error == asio::error::connection_reset || error == asio::error::eof || error == asio::error::broken_pipe) {
      return tcp().close();
    }
    if (error == beast::error::timeout) {
      // The stream has closed the connection.
      ++shared_->timed_out;
      return;
    }
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return refuse(431, "headers of more than " + std::to_string(options().max_header_bytes) + " bytes");
    }
    if (error == http::error::body_limit) {
      return refuse(413, "a body of more than " + std::to_string(options().max_body_bytes) + " bytes");
    }
    if (error == http::error::bad_version) return refuse(505, "expected HTTP/1.1 or HTTP/1.0");
    if (error.category() != make_error_code(http::error::bad_method).category()) return tcp().close();
    refuse(400, "malformed " + std::string(part) + ": " + error.message());
  }

  // What follows on the connection cannot be understood any more.
  void refuse(int status, const std::string& reason) {
    ++shared_->malformed;
    closes_ = true;
    common_headers_ = common_headers(head_, options());
    answer_with(current_, http_error(status, reason));
  }

  // Closes so that the client reads the answer first: with bytes left unread, close() would reset the connection.
  void end() {
    tcp().expires_after(kLingerTime);
    if constexpr (kIsTls) {
      stream_.async_shutdown([self = this->shared_from_this()](beast::error_code) { self->tcp().close(); });
    } else {
      beast::error_code error;
      tcp().socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
      if (!error) linger({});
    }
  }

  void linger(beast::error_code error) {
    lingered_ += kReadBytes;
    if (error || lingered_ > kLingerBytes || shared_->stopping) return tcp().close();
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kReadBytes), then(&HttpSession::linger));
  }

  static constexpr size_t kReadBytes = 16 << 10;
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

  const std::shared_ptr<HttpShared> shared_;
  Stream stream_;
  asio::steady_timer timer_;
  beast::flat_buffer buffer_;
  boost::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  HttpRequest head_;
  HttpHeaders common_headers_;
  uint64_t current_ = 0;  // number of the request
  size_t lingered_ = 0;
  bool is_idle_ = false, answers_head_ = false, is_answered_ = false, closes_ = false, keeps_alive_ = false;
};

}  // namespace lockstep
