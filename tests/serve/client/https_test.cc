// SPDX-License-Identifier: Apache-2.0
// The client of HTTP and our server, over TLS.
#include <gmock/gmock.h>

#include <string>

#include "io/http_post.h"
#include "serve/http/http_server.h"
#include "tests/serve/tls_identity.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

HttpPostOptions trusting(const std::string& ca_file) { return {.ca_file = ca_file, .use_proxy = false}; }

TEST(Https, TheNamedCertificateAloneIsTrusted) {
  const TmpDir directory;
  const std::string certificate = directory.file("certificate.pem"), key = directory.file("key.pem"),
                    other = directory.file("other.pem");
  write_identity(certificate, key);
  write_identity(other, directory.file("other_key.pem"));
  HttpServerOptions options;
  options.tls_certificate = certificate;
  options.tls_key = key;
  const auto server = HttpServer::start(options, [](HttpRequest request, const HttpRespond& respond) {
                        respond({.body = request.path + request.body});
                      }).value();
  const std::string host = "localhost:" + std::to_string(server->port());
  const auto answer = http_post("https://" + host + "/a", "{}", trusting(certificate));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "/a{}");
  for (const std::string& wrong : {std::string(), other, key}) {
    const auto refused = http_post("https://" + host + "/a", "{}", trusting(wrong));
    EXPECT_TRUE(absl::IsPermissionDenied(refused.status())) << refused.status();
  }
  const std::string address = "127.0.0.1:" + std::to_string(server->port());  // which the certificate does not name
  EXPECT_TRUE(absl::IsPermissionDenied(http_post("https://" + address, "{}", trusting(certificate)).status()));
  const auto plain = http_post("http://" + address, "{}", trusting(certificate));
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->status, 400);
  EXPECT_THAT(plain->body, ::testing::HasSubstr("this port speaks HTTPS"));
}

}  // namespace
}  // namespace lockstep
