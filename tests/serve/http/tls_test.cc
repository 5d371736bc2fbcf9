// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "serve/http/http_server.h"
#include "tests/serve/http/http_client.h"
#include "tests/serve/tls_identity.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Tls : public ::testing::Test {
 protected:
  Tls() { write_identity(certificate_, key_); }

  std::unique_ptr<HttpServer> serve() {
    HttpServerOptions options;
    options.tls_certificate = certificate_;
    options.tls_key = key_;
    return HttpServer::start(
               options,
               [](HttpRequest request, const HttpRespond& respond) { respond({.body = request.path + request.body}); })
        .value();
  }

  // What a client of TLS at most `version` receives until the server closes; "" when there is no agreement.
  std::string exchange(int port, int version, const std::string& request) {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set_security_level(context, 0);  // else old versions fail on the client's side
    BIO* bio = BIO_new_ssl_connect(context);
    const std::string address = "127.0.0.1:" + std::to_string(port);
    BIO_set_conn_hostname(bio, address.c_str());
    std::string received;
    if (BIO_do_connect(bio) == 1) {
      size_t written = 0;
      BIO_write_ex(bio, request.data(), request.size(), &written);
      char bytes[4096];
      for (int got = 0; (got = BIO_read(bio, bytes, sizeof(bytes))) > 0;)
        received.append(bytes, static_cast<size_t>(got));
    }
    BIO_free_all(bio);
    SSL_CTX_free(context);
    return received;
  }

  const TmpDir directory_;
  const std::string certificate_ = directory_.file("certificate.pem"), key_ = directory_.file("key.pem");
};

TEST_F(Tls, CarriesRequests) {
  const auto server = serve();
  const std::string body(100000, 'b');
  const std::string request =
      "POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n" + body;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const std::string answer = exchange(server->port(), version, request);
    EXPECT_THAT(answer.substr(0, 100), StartsWith("HTTP/1.1 200 "));
    EXPECT_TRUE(answer.ends_with("\r\n\r\n/a" + body));
  }
}

TEST_F(Tls, OldVersionsAreRefused) {
  const auto server = serve();
  EXPECT_EQ(exchange(server->port(), TLS1_1_VERSION, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "");
}

TEST_F(Tls, ClientsWithoutTlsAreToldAndClosed) {
  const auto server = serve();
  HttpClient client(server->port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n" + std::string(9000, 'b'));
  EXPECT_THAT(client.receive_all(), AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("this port speaks HTTPS")));
  HttpClient noise(server->port());
  noise.send("no protocol that anybody knows");
  EXPECT_THAT(noise.receive_all(), Not(HasSubstr("HTTP/1.1")));
  EXPECT_THAT(exchange(server->port(), TLS1_3_VERSION, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 200"));
}

TEST_F(Tls, SaysWhichFileIsWrong) {
  const auto error = [](const std::string& certificate, const std::string& key) {
    HttpServerOptions options;
    options.tls_certificate = certificate;
    options.tls_key = key;
    return std::string(HttpServer::start(options, nullptr).status().message());
  };
  EXPECT_THAT(error(certificate_, ""), HasSubstr("both a certificate and its key"));
  EXPECT_THAT(error("/none.pem", key_), AllOf(StartsWith("/none.pem: "), HasSubstr("PEM")));
  EXPECT_THAT(error(certificate_, certificate_), StartsWith(certificate_ + ": cannot read the key"));
  const std::string other = directory_.file("other.pem");
  write_identity(directory_.file("other_certificate.pem"), other);
  EXPECT_THAT(error(certificate_, other), HasSubstr("mismatch"));
}

}  // namespace
}  // namespace lockstep
