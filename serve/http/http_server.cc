// SPDX-License-Identifier: Apache-2.0
#include "serve/http/http_server.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include <thread>

#include "core/base/log.h"
#include "serve/http/http_session.h"

namespace lockstep {
namespace {

using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

// After which accepting is tried again when the process is out of descriptors.
constexpr std::chrono::milliseconds kAcceptPause{100};

std::string openssl_reason() {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof(text));
  return text;
}

absl::StatusOr<std::unique_ptr<asio::ssl::context>> make_tls(const HttpServerOptions& options) {
  if (options.tls_certificate.empty() && options.tls_key.empty()) return nullptr;
  if (options.tls_certificate.empty() || options.tls_key.empty()) {
    return absl::InvalidArgumentError("TLS needs both a certificate and its key (PEM files)");
  }
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  if (SSL_CTX_use_certificate_chain_file(native, options.tls_certificate.c_str()) != 1) {
    return absl::InvalidArgumentError(
        fmt::format("{}: cannot read a certificate (PEM): {}", options.tls_certificate, openssl_reason()));
  }
  if (SSL_CTX_use_PrivateKey_file(native, options.tls_key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(native) != 1) {
    return absl::InvalidArgumentError(fmt::format("{}: cannot read the key (PEM) of the certificate {}: {}",
                                                  options.tls_key, options.tls_certificate, openssl_reason()));
  }
  return context;
}

class BeastServer : public HttpServer {
 public:
  BeastServer(const HttpServerOptions& options, HttpHandler handler)
      : shared_(std::make_shared<HttpShared>(options, std::move(handler))),
        acceptor_(shared_->context),
        pause_(shared_->context),
        work_(asio::make_work_guard(shared_->context)) {}

  ~BeastServer() override { stop(std::chrono::milliseconds(0)); }

  absl::Status listen() {
    const HttpServerOptions& options = shared_->options;
    LOCKSTEP_ASSIGN_OR_RETURN(tls_, make_tls(options));
    beast::error_code error;
    const auto address = asio::ip::make_address(options.address, error);
    if (error) {
      return absl::InvalidArgumentError(fmt::format(
          "'{}' is no address to listen at: expected a number such as 127.0.0.1, 0.0.0.0 or ::1", options.address));
    }
    const tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return absl::UnavailableError(fmt::format(
          "cannot listen at {} port {}: {}{}", options.address, options.port, error.message(),
          error == asio::error::address_in_use ? " (another server may be running; choose another port)" : ""));
    }
    port_ = acceptor_.local_endpoint().port();
    accept();
    for (int i = 0; i < options.threads; ++i) threads_.emplace_back([this] { shared_->context.run(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  HttpServerCounts counts() const override {
    return {open_connections(), shared_->accepted,  shared_->turned_away,
            shared_->requests,  shared_->malformed, shared_->timed_out};
  }

  void stop(std::chrono::milliseconds bound) override {
    if (threads_.empty()) return;
    shared_->stopping = true;
    asio::post(shared_->context, [this] {
      beast::error_code ignored;
      acceptor_.close(ignored);
      pause_.cancel();
    });
    each_connection([](HttpConnection& connection) { connection.finish(); });
    const Clock::time_point by = Clock::now() + bound;
    while (open_connections() > 0 && Clock::now() < by) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    each_connection([](HttpConnection& connection) { connection.close(); });
    // With every connection closed and the acceptor too, nothing is left to wait for.
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  int64_t open_connections() const {
    const std::lock_guard lock(shared_->mutex);
    return static_cast<int64_t>(shared_->connections.size());
  }

  template <typename Call>
  void each_connection(Call call) {
    std::vector<std::shared_ptr<HttpConnection>> connections;
    {
      const std::lock_guard lock(shared_->mutex);
      for (const auto& [key, weak] : shared_->connections) {
        if (auto connection = weak.lock()) connections.push_back(std::move(connection));
      }
    }
    for (const auto& connection : connections) call(*connection);
  }

  void accept() {
    if (shared_->stopping) return;
    acceptor_.async_accept(asio::make_strand(shared_->context), [this](beast::error_code error, tcp::socket socket) {
      if (shared_->stopping) return;
      if (error) return after_failed_accept(error);
      serve(std::move(socket));
      accept();
    });
  }

  // Out of descriptors, say: those who are connected go on, and others wait in the queue of the system.
  void after_failed_accept(beast::error_code error) {
    if (!std::exchange(has_failed_, true)) LOG_WARNING("cannot accept a connection: {}; trying again", error.message());
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](beast::error_code cancelled) {
      if (!cancelled) accept();
    });
  }

  void serve(tcp::socket socket) {
    if (open_connections() >= shared_->options.max_connections) {
      ++shared_->turned_away;
      return turn_away(std::move(socket));
    }
    ++shared_->accepted;
    if (tls_ != nullptr) {
      using Tls = beast::ssl_stream<beast::tcp_stream>;
      std::make_shared<HttpSession<Tls>>(shared_, Tls(beast::tcp_stream(std::move(socket)), *tls_))->start();
    } else {
      std::make_shared<HttpSession<beast::tcp_stream>>(shared_, beast::tcp_stream(std::move(socket)))->start();
    }
  }

  // As much as the socket takes at once; without TLS, which would take round trips.
  void turn_away(tcp::socket socket) const {
    beast::error_code ignored;
    socket.non_blocking(true, ignored);
    if (tls_ != nullptr) return;
    const std::string body = http_error(503, "too many connections: try again later").body;
    const std::string text = fmt::format(
        "HTTP/1.1 503 Service Unavailable\r\nServer: lockstep\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
        body.size(), body);
    socket.write_some(asio::buffer(text), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
  }

  const std::shared_ptr<HttpShared> shared_;
  std::unique_ptr<asio::ssl::context> tls_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  int port_ = 0;
  bool has_failed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options, HttpHandler handler) {
  auto server = std::make_unique<BeastServer>(options, std::move(handler));
  LOCKSTEP_RETURN_IF_ERROR(server->listen());
  return server;
}

}  // namespace lockstep
