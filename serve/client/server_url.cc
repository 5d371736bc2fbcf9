// SPDX-License-Identifier: Apache-2.0
#include "serve/client/server_url.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <fmt/format.h>

#include "serve/rest/abseil_text.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

constexpr std::string_view kDefaultPort = "8501";  // of `lockstep serve`, and of TensorFlow Serving's container
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kHexAndDots = "0123456789abcdefABCDEF:.";
constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
constexpr std::string_view kPathCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/%!$&'()*+,;=";

absl::Status wrong(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format(
      "`{}` names no server: {}; expected localhost:8501, [::1]:8501, http://HOST:PORT or https://HOST:PORT",
      printable(text), why));
}

// Cuts "http://" or "https://" off; "" when there is none.
std::string_view take_scheme(std::string_view& text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(to_abseil(text), to_abseil(scheme))) continue;
    text.remove_prefix(scheme.size());
    return scheme;
  }
  return "";
}

bool consists_of(std::string_view text, std::string_view characters) {
  return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}

bool is_loopback(std::string_view host) {
  const std::string name = absl::AsciiStrToLower(to_abseil(host));
  return name == "localhost" || name.ends_with(".localhost") || name == "[::1]" ||
         (name.starts_with("127.") && name.find_first_not_of("0123456789.") == std::string::npos);
}

bool is_port(std::string_view text) {
  int port = 0;
  return consists_of(text, kDigits) && absl::SimpleAtoi(to_abseil(text), &port) && port >= 1 && port <= 65535;
}

// The host, in brackets if it has any, and what follows it.
std::pair<std::string_view, std::string_view> split_host(std::string_view authority) {
  const size_t end = authority.starts_with('[') ? std::min(authority.find(']'), authority.size() - 1) + 1
                                                : std::min(authority.find(':'), authority.size());
  return {authority.substr(0, end), authority.substr(end)};
}

bool is_host(std::string_view host) {
  if (!host.starts_with('[')) return consists_of(host, kNameCharacters);
  return host.ends_with(']') && host.size() > 2 && consists_of(host.substr(1, host.size() - 2), kHexAndDots);
}

}  // namespace

absl::StatusOr<ServerUrl> parse_server_url(std::string_view text) {
  std::string_view rest = text;
  const std::string_view scheme = take_scheme(rest);
  if (rest.find("://") != std::string_view::npos) return wrong(text, "its scheme is neither http nor https");
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    return wrong(rest.substr(at),
                 "before the @ there is a user, whose password no message shows; the server's token "
                 "comes from a file");
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view path = rest.substr(slash);
  const auto [host, after] = split_host(rest.substr(0, slash));
  if (!after.empty() && after.find(':', 1) != std::string_view::npos) {
    return wrong(text, "an address of IPv6 is written in brackets");
  }
  if (!is_host(host)) return wrong(text, "there is no host in it");
  if (!after.empty() && (after[0] != ':' || !is_port(after.substr(1))))
    return wrong(text, "its port is not 1 to 65535");
  if (!path.empty() && !consists_of(path, kPathCharacters)) return wrong(text, "its path is none");
  while (path.ends_with('/')) path.remove_suffix(1);
  const std::string port = !after.empty() ? std::string(after) : scheme.empty() ? fmt::format(":{}", kDefaultPort) : "";
  return ServerUrl{fmt::format("{}{}{}{}", scheme.empty() ? "http://" : scheme, host, port, path), is_loopback(host)};
}

}  // namespace lockstep
