// SPDX-License-Identifier: Apache-2.0
#include "serve/http/http_policy.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/sha256.h"

namespace lockstep {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool percent_decode(std::string_view text, std::string& decoded) {
  decoded.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    decoded += c;
  }
  return true;
}

bool is_open(std::string_view path, const std::vector<std::string>& open_paths) {
  return std::any_of(open_paths.begin(), open_paths.end(), [&](const std::string& open) {
    const bool is_prefix = open.size() > 1 && open.back() == '/';
    return path == open || (is_prefix && path.substr(0, open.size()) == open);
  });
}

bool has_token(const HttpRequest& head, const std::string& token) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string_view given = head.header("authorization");
  return given.size() > kScheme.size() && equal_ignoring_case(given.substr(0, kScheme.size()), kScheme) &&
         equal_secrets(given.substr(kScheme.size()), token);
}

bool is_preflight(const HttpRequest& head) {
  return head.method == "OPTIONS" && !head.header("origin").empty() &&
         !head.header("access-control-request-method").empty();
}

HttpResponse unauthorized() {
  HttpResponse response =
      http_error(401, "this server asks for its access token: send the header \"Authorization: Bearer TOKEN\"");
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace

HttpResponse http_error(int status, std::string_view message) {
  const nlohmann::json body = {{"error", message}};
  HttpResponse response;
  response.status = status;
  response.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return response;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

bool split_target(std::string_view target, std::string& path, std::string& query) {
  // A proxy may be sent the full URL; what counts is behind its host.
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equal_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    const size_t slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (target.empty() || (target[0] != '/' && target != "*")) return false;
  target = target.substr(0, target.find('#'));
  const size_t mark = target.find('?');
  query = mark == std::string_view::npos ? "" : std::string(target.substr(mark + 1));
  return percent_decode(target.substr(0, mark), path);
}

bool equal_secrets(std::string_view a, std::string_view b) {
  // Of equal length, whatever the secret's is.
  const std::string left = sha256_hex(a), right = sha256_hex(b);
  return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

std::optional<HttpResponse> answer_to_head(const HttpRequest& head, const HttpServerOptions& options) {
  if (!options.cors_allow_origin.empty() && is_preflight(head)) {
    HttpResponse response;
    response.status = 204;
    response.headers = {{"Access-Control-Allow-Methods", "GET, HEAD, POST"},
                        {"Access-Control-Allow-Headers", "Authorization, Content-Type"},
                        {"Access-Control-Max-Age", "600"}};
    return response;
  }
  if (!options.bearer_token.empty() && !is_open(head.path, options.open_paths) &&
      !has_token(head, options.bearer_token)) {
    return unauthorized();
  }
  const std::string_view coding = head.header("content-encoding");
  if (!coding.empty() && !equal_ignoring_case(coding, "identity")) {
    return http_error(415, fmt::format("Content-Encoding '{}': send the body as it is, without compression", coding));
  }
  return std::nullopt;
}

std::string common_headers(const HttpRequest& head, const HttpServerOptions& options) {
  std::string headers = "Server: lockstep\r\nX-Content-Type-Options: nosniff\r\n";
  if (options.cors_allow_origin.empty()) return headers;
  if (options.cors_allow_origin == "*") {
    headers += "Access-Control-Allow-Origin: *\r\n";
    return headers;
  }
  headers += "Vary: Origin\r\n";  // with or without: caches must not mix the two up
  if (head.header("origin") == options.cors_allow_origin) {
    headers += "Access-Control-Allow-Origin: " + options.cors_allow_origin + "\r\n";
  }
  return headers;
}

}  // namespace lockstep
