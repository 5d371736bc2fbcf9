// SPDX-License-Identifier: Apache-2.0
#include "serve/http/http_policy.h"

#include <absl/strings/ascii.h>
#include <arpa/inet.h>
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

bool is_preflight(const HttpRequest& head) {
  return head.method == "OPTIONS" && !head.header("origin").empty() &&
         !head.header("access-control-request-method").empty();
}

// Without the port, and without the dot that may end a full name.
std::string_view name_of_host(std::string_view host) {
  if (host.substr(0, 1) == "[") return host.substr(0, host.find(']') + 1);
  host = host.substr(0, host.find(':'));
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

// Names without a dot are given by the own network, none of them by strangers.
bool is_own_host(std::string_view host, const std::vector<std::string>& allowed_hosts) {
  const std::string_view name = name_of_host(host);
  in_addr address{};
  if (name.find('.') == std::string_view::npos || name[0] == '[' ||
      inet_pton(AF_INET, std::string(name).c_str(), &address) == 1) {
    return true;
  }
  return std::any_of(allowed_hosts.begin(), allowed_hosts.end(),
                     [&](const std::string& allowed) { return equal_ignoring_case(name, allowed); });
}

HttpResponse misdirected(std::string_view host) {
  return http_error(421, fmt::format("this server is not known as '{}': ask for it by its address, or start it with "
                                     "--allow_host {}",
                                     host, name_of_host(host)));
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
  // A proxy may be sent the full URL; what counts is behind its host, which any of three ends.
  bool is_url = false;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equal_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(std::min(target.find_first_of("/?#", scheme.size()), target.size()));
    is_url = true;
    break;
  }
  target = target.substr(0, target.find('#'));
  const size_t mark = target.find('?');
  query = mark == std::string_view::npos ? "" : std::string(target.substr(mark + 1));
  target = target.substr(0, mark);
  if (target.empty() && is_url) target = "/";
  return (target.substr(0, 1) == "/" || target == "*") && percent_decode(target, path);
}

bool is_sound_host(std::string_view host) {
  constexpr std::string_view kNameMarks = "-._~%!$&'()*+,;=", kAddressMarks = ":.%";
  const bool is_address = host.substr(0, 1) == "[";
  const size_t end = is_address ? host.find(']') : host.find(':');
  if (is_address && end == std::string_view::npos) return false;
  const std::string_view name = is_address ? host.substr(1, end - 1) : host.substr(0, end);
  std::string_view port = host.substr(std::min(is_address ? end + 1 : end, host.size()));
  if (!port.empty() && port[0] != ':') return false;
  port.remove_prefix(std::min<size_t>(port.size(), 1));
  return std::all_of(name.begin(), name.end(),
                     [&](char c) {
                       return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                              (is_address ? kAddressMarks : kNameMarks).find(c) != std::string_view::npos;
                     }) &&
         std::all_of(port.begin(), port.end(), absl::ascii_isdigit);
}

bool equal_secrets(std::string_view a, std::string_view b) {
  // Of equal length, whatever the secret's is.
  const std::string left = sha256_hex(a), right = sha256_hex(b);
  return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

bool is_bearer(std::string_view authorization, std::string_view token) {
  constexpr std::string_view kScheme = "Bearer ";
  return authorization.size() > kScheme.size() &&
         equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme) &&
         equal_secrets(authorization.substr(kScheme.size()), token);
}

std::optional<HttpResponse> answer_to_head(const HttpRequest& head, const HttpServerOptions& options) {
  if (!options.allowed_hosts.empty() && !is_own_host(head.header("host"), options.allowed_hosts)) {
    return misdirected(head.header("host"));
  }
  if (!options.cors_allow_origin.empty() && is_preflight(head)) {
    HttpResponse response;
    response.status = 204;
    response.headers = {{"Access-Control-Allow-Methods", "GET, HEAD, POST"},
                        {"Access-Control-Allow-Headers", "Authorization, Content-Type"},
                        {"Access-Control-Max-Age", "600"}};
    return response;
  }
  if (!options.bearer_token.empty() && !is_open(head.path, options.open_paths) &&
      !is_bearer(head.header("authorization"), options.bearer_token)) {
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
