// SPDX-License-Identifier: Apache-2.0
#include "serve/http/socket_transport.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <type_traits>
#include <utility>

#include "serve/http/answer_text.h"
#include "serve/http/http_policy.h"
#include "serve/http/turn_away.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
// With the executor's own type: any_io_executor costs an indirect call for each operation.
using Socket = asio::basic_stream_socket<tcp, asio::io_context::executor_type>;
using TlsStream = asio::ssl::stream<Socket>;

// Of a client that goes on sending after its last answer.
constexpr size_t kMostIgnoredBytes = 16 << 20;

std::string openssl_reason() {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof(text));
  ERR_clear_error();
  return text;
}

// Of the protocols that a client offers, ours. Clients that offer only others would misunderstand every answer.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned int offered_size, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof(kHttp11) - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// Of a handshake: the client has begun with a request.
bool is_plain_http(error_code error) {
  return error.category() == asio::error::get_ssl_category() &&
         ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_HTTP_REQUEST;
}

template <typename Stream>
class SocketTransport : public Transport {
 public:
  template <typename... TlsArguments>
  explicit SocketTransport(Socket socket, TlsArguments&... tls) : stream_(std::move(socket), tls...) {}

  void open(User user) override {
    if constexpr (kIsTls) {
      stream_.async_handshake(asio::ssl::stream_base::server, [this, user = std::move(user)](error_code error) {
        if (is_plain_http(error)) {
          send_last_answer(socket().native_handle(), http_error(400, "this port speaks HTTPS: ask for https://…"),
                           HttpDate().now());
        }
        user->on_open(!error);
      });
    } else {
      asio::post(socket().get_executor(), [user = std::move(user)] { user->on_open(true); });
    }
  }

  void read(char* into, size_t size, User user) override {
    stream_.async_read_some(asio::buffer(into, size), [user = std::move(user)](error_code error, size_t bytes) {
      user->on_read(error ? 0 : bytes);
    });
  }

  void write(std::string_view first, std::string_view second, User user) override {
    auto done = [user = std::move(user)](error_code error, size_t bytes) { user->on_written(error ? 0 : bytes); };
    if (first.empty()) std::swap(first, second);
    if (second.empty()) {
      stream_.async_write_some(asio::buffer(first.data(), first.size()), std::move(done));
    } else {
      const std::array<asio::const_buffer, 2> both = {asio::buffer(first.data(), first.size()),
                                                      asio::buffer(second.data(), second.size())};
      stream_.async_write_some(both, std::move(done));
    }
  }

  void end(User user) override {
    if constexpr (kIsTls) {
      stream_.async_shutdown([this, user = std::move(user)](error_code) mutable { end_socket(std::move(user)); });
    } else {
      end_socket(std::move(user));
    }
  }

  void close() override {
    error_code ignored;
    socket().close(ignored);
  }

 private:
  static constexpr bool kIsTls = std::is_same_v<Stream, TlsStream>;

  Socket& socket() {
    if constexpr (kIsTls) {
      return stream_.next_layer();
    } else {
      return stream_;
    }
  }

  void end_socket(User user) {
    error_code error;
    socket().shutdown(Socket::shutdown_send, error);
    if (ignored_ == nullptr) ignored_ = std::make_unique<std::array<char, 16 << 10>>();
    ignore_rest(std::move(user));
  }

  void ignore_rest(User user) {
    socket().async_read_some(asio::buffer(*ignored_),
                             [this, user = std::move(user)](error_code error, size_t bytes) mutable {
                               ignored_bytes_ += bytes;
                               if (error || ignored_bytes_ > kMostIgnoredBytes) return user->on_end();
                               ignore_rest(std::move(user));
                             });
  }

  Stream stream_;
  std::unique_ptr<std::array<char, 16 << 10>> ignored_;
  size_t ignored_bytes_ = 0;
};

// The family matters to Asio only for options of the address, which nobody asks for here.
Socket adopt(asio::io_context& context, int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  Socket adopted(context);
  error_code error;
  adopted.assign(address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), socket, error);
  if (error) ::close(socket);
  return adopted;
}

}  // namespace

absl::StatusOr<TlsContext> make_tls_context(const std::string& certificate, const std::string& key) {
  if (certificate.empty() || key.empty()) {
    return absl::InvalidArgumentError("TLS needs both a certificate and its key (PEM files)");
  }
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // an idle connection then holds no record buffers
  SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(native, certificate.c_str()) != 1) {
    return absl::InvalidArgumentError(
        fmt::format("{}: cannot read a certificate (PEM): {}", certificate, openssl_reason()));
  }
  if (SSL_CTX_use_PrivateKey_file(native, key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(native) != 1) {
    return absl::InvalidArgumentError(
        fmt::format("{}: cannot read the key (PEM) of the certificate {}: {}", key, certificate, openssl_reason()));
  }
  return context;
}

std::unique_ptr<Transport> make_socket_transport(asio::io_context& context, int socket, const TlsContext& tls) {
  if (tls == nullptr) return std::make_unique<SocketTransport<Socket>>(adopt(context, socket));
  return std::make_unique<SocketTransport<TlsStream>>(adopt(context, socket), *tls);
}

}  // namespace lockstep
