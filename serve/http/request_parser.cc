// SPDX-License-Identifier: Apache-2.0
#include "serve/http/request_parser.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <optional>
#include <utility>

#include "serve/http/http_policy.h"

namespace lockstep {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

constexpr size_t kMostHeaders = 128;
// A body's memory is taken as it comes: an announcement alone costs the client nothing.
constexpr uint64_t kReservedBodyBytes = 1 << 20;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

bool is_token_char(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// Whether a chunk's line is there whole and a quoted string of its extensions is not closed in it. `rest` begins with
// the line, or with the end of the chunk before.
bool chunk_line_leaves_quote_open(std::string_view rest) {
  if (rest.substr(0, 2) == "\r\n") rest.remove_prefix(2);
  const size_t end = rest.find("\r\n");
  if (end == std::string_view::npos) return false;
  bool is_open = false;
  for (size_t i = 0; i < end; ++i) {
    if (is_open && rest[i] == '\\') {
      ++i;
    } else if (rest[i] == '"') {
      is_open = !is_open;
    }
  }
  return is_open;
}

ParseError parse_error(const error_code& code) {
  using http::error;
  if (code == error::bad_version) return {505, "expected HTTP/1.1 or HTTP/1.0"};
  if (code == error::bad_method || code == error::bad_target) {
    return {400, "malformed request line: expected 'METHOD /path HTTP/1.1'"};
  }
  if (code == error::bad_field) return {400, "malformed header: expected 'Name: value' with no space before the colon"};
  if (code == error::bad_value)
    return {400, "malformed header value: it holds a control character, or no list where one is due"};
  if (code == error::bad_content_length) {
    return {400, "malformed Content-Length: expected one decimal number, and no Transfer-Encoding beside it"};
  }
  if (code == error::bad_transfer_encoding) {
    return {400, "malformed Transfer-Encoding: expected 'chunked' once, and no Content-Length beside it"};
  }
  if (code == error::bad_chunk || code == error::bad_chunk_extension) {
    return {400, "malformed chunk: expected its size in hexadecimal, CR LF, so many bytes, CR LF"};
  }
  return {400, fmt::format("malformed request: {}", code.message())};
}

}  // namespace

// Puts what Beast reads into the request.
class RequestParser::Beast : public http::basic_parser<true> {
 public:
  Beast(HttpRequest& request, const ParserLimits& limits) : request_(request) {
    // The size of the head has been looked at before; this is but for the trailer.
    header_limit(static_cast<uint32_t>(limits.header_bytes + 4));
    body_limit(limits.body_bytes);
  }

  bool is_head_request = false;
  bool is_http_1_0 = false;
  std::optional<ParseError> error;  // of ours, which says more than Beast's

 protected:
  void on_request_impl(http::verb verb, boost::beast::string_view method, boost::beast::string_view target, int version,
                       error_code& code) override {
    is_head_request = verb == http::verb::head;
    is_http_1_0 = version == 10;
    request_.method = is_head_request ? "GET" : std::string(view(method));
    if (split_target(view(target), request_.path, request_.query)) return;
    fail(code, "malformed target: expected /path, percent-encoded");
  }

  void on_field_impl(http::field field, boost::beast::string_view name, boost::beast::string_view value,
                     error_code& code) override {
    if (has_head_) return;  // a trailer, which nobody asked for
    if (request_.headers.size() >= kMostHeaders) {
      return fail(code, fmt::format("more than {} headers", kMostHeaders), 431);
    }
    check_field(field, view(value), code);
    auto& [lower, text] = request_.headers.emplace_back(view(name), view(value));
    absl::AsciiStrToLower(&lower);
  }

  void on_header_impl(error_code& code) override {
    has_head_ = true;
    if (hosts_ > 1 || (hosts_ == 0 && !is_http_1_0)) return fail(code, "expected one Host header");
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) override {
    if (length) request_.body.reserve(std::min(*length, kReservedBodyBytes));
  }
  size_t on_body_impl(boost::beast::string_view body, error_code&) override {
    request_.body.append(body.data(), body.size());
    return body.size();
  }
  size_t on_chunk_body_impl(std::uint64_t, boost::beast::string_view body, error_code&) override {
    request_.body.append(body.data(), body.size());
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, boost::beast::string_view extensions, error_code& code) override {
    // Beast lets quoted strings hold anything, also a line feed that ends the line for others.
    const auto is_control = [](unsigned char c) { return absl::ascii_iscntrl(c) && c != '\t'; };
    if (std::any_of(extensions.begin(), extensions.end(), is_control)) code = http::error::bad_chunk_extension;
  }
  void on_finish_impl(error_code&) override {}
  void on_response_impl(int, boost::beast::string_view, int, error_code&) override {}

 private:
  // What proxies and servers have disagreed on, so that a request hid in another's body.
  void check_field(http::field field, std::string_view value, error_code& code) {
    if (field == http::field::host) {
      ++hosts_;
      if (!is_sound_host(value)) fail(code, "malformed Host: expected name[:port]");
    } else if (field == http::field::content_length) {
      const bool is_number = !value.empty() && std::all_of(value.begin(), value.end(), absl::ascii_isdigit);
      if (std::exchange(has_length_, true) || !is_number) fail(code, "expected one Content-Length, a decimal number");
    } else if (field == http::field::transfer_encoding) {
      if (is_http_1_0) return fail(code, "Transfer-Encoding is not part of HTTP/1.0");
      if (!equal_ignoring_case(value, "chunked")) {
        fail(code, fmt::format("Transfer-Encoding '{}': only 'chunked' is understood", value), 501);
      }
    }
  }

  void fail(error_code& code, std::string reason, int status = 400) {
    error = ParseError{status, std::move(reason)};
    code = http::error::bad_field;
  }

  HttpRequest& request_;
  int hosts_ = 0;
  bool has_length_ = false;
  bool has_head_ = false;
};

RequestParser::RequestParser(const ParserLimits& limits) : limits_(limits) { reset(); }
RequestParser::~RequestParser() = default;

void RequestParser::reset() {
  request_ = HttpRequest();
  request_.headers.reserve(12);
  beast_ = std::make_unique<Beast>(request_, limits_);
  state_ = State::kHead;
  error_ = {};
  scanned_ = 0;
  has_begun_ = false;
}

bool RequestParser::is_head_request() const { return beast_->is_head_request; }
bool RequestParser::is_http_1_0() const { return beast_->is_http_1_0; }
bool RequestParser::keeps_alive() const {
  return (state_ == State::kBody || state_ == State::kDone) && beast_->keep_alive();
}

size_t RequestParser::put(std::string_view bytes) {
  if (state_ == State::kHead) return put_head(bytes);
  if (state_ == State::kBody) return put_body(bytes);
  return 0;
}

size_t RequestParser::put_head(std::string_view bytes) {
  // Empty lines before a request are leftovers of clients that end a body with one.
  size_t skipped = 0;
  if (!has_begun_) {
    while (bytes.substr(skipped, 2) == "\r\n") skipped += 2;
    bytes.remove_prefix(skipped);
    if (bytes.empty() || bytes == "\r") return skipped;
    has_begun_ = true;
    if (!is_token_char(bytes[0])) {
      fail(400, "expected an HTTP request line 'METHOD /path HTTP/1.1' (a client that speaks HTTPS or HTTP/2?)");
      return skipped;
    }
  }
  const size_t size = find_end_of_head(bytes);
  if (state_ == State::kFailed) return skipped;
  if (size > limits_.header_bytes || (size == 0 && bytes.size() >= limits_.header_bytes)) {
    fail(431, fmt::format("request line and headers of more than {} bytes", limits_.header_bytes));
    return skipped;
  }
  if (size == 0) return skipped;
  error_code code;
  const size_t taken = beast_->put({bytes.data(), size}, code);
  if (code == http::error::body_limit) {
    fail(413, fmt::format("a body of {} bytes is announced, at most {} are taken", request_.header("content-length"),
                          limits_.body_bytes));
  } else if (code) {
    const ParseError error = beast_->error ? *beast_->error : parse_error(code);
    fail(error.status, error.reason);
  } else {
    state_ = beast_->is_done() ? State::kDone : State::kBody;
    beast_->eager(true);
  }
  return skipped + taken;
}

// How many bytes the head has, 0 when its end has not come. Fails at a line that does not end in CR LF or goes on in
// the next one.
size_t RequestParser::find_end_of_head(std::string_view bytes) {
  for (;;) {
    const size_t feed = bytes.find('\n', scanned_);
    if (feed == std::string_view::npos) return 0;
    if (feed == 0 || bytes[feed - 1] != '\r') {
      fail(400, "a line of the head ends in a bare LF: expected CR LF");
      return 0;
    }
    if (feed >= 3 && bytes[feed - 2] == '\n') return feed + 1;
    if (feed + 1 == bytes.size()) return 0;  // what follows says whether the line is folded
    if (bytes[feed + 1] == ' ' || bytes[feed + 1] == '\t') {
      fail(400, "a header goes on in the next line: expected each on a line of its own");
      return 0;
    }
    scanned_ = feed + 1;
  }
}

size_t RequestParser::put_body(std::string_view bytes) {
  // Beast asserts that a last chunk which it has begun to read has five bytes when it looks again. Whatever follows
  // these three, be they a chunk or data of one, the message has two more.
  if (beast_->chunked() && bytes.size() < 5 && bytes.starts_with("0\r\n")) return 0;
  error_code code;
  const size_t taken = beast_->put({bytes.data(), bytes.size()}, code);
  if (code == http::error::body_limit) {
    fail(413, fmt::format("a body of more than {} bytes", limits_.body_bytes));
  } else if (code && code != http::error::need_more) {
    const ParseError error = parse_error(code);
    fail(error.status, error.reason);
  } else if (beast_->is_done()) {
    state_ = State::kDone;
  } else if (chunk_line_leaves_quote_open(bytes.substr(taken))) {
    // For Beast the string goes on in the next line: it waits for more, and counts the chunk's size again each time.
    const ParseError error = parse_error(http::error::bad_chunk_extension);
    fail(error.status, error.reason);
  } else if (bytes.size() - taken >= limits_.header_bytes) {
    fail(431, fmt::format("a chunk's line or the trailer of more than {} bytes", limits_.header_bytes));
  }
  return taken;
}

void RequestParser::fail(int status, std::string reason) {
  state_ = State::kFailed;
  error_ = {status, std::move(reason)};
}

}  // namespace lockstep
