// SPDX-License-Identifier: Apache-2.0
// A client's bytes, given to a connection whole and in small pieces: it must understand the same requests either way,
// or somebody between client and server could make it see another one. First byte: how large the pieces are; bit 7: the
// handler answers later.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/serve/http/memory_connection.h"

namespace lockstep {
namespace {

struct Outcome {
  std::vector<std::string> requests;
  std::vector<int> statuses;
};

HttpServerOptions fuzz_options() {
  HttpServerOptions options;
  options.max_header_bytes = 512;
  options.max_body_bytes = 300;
  options.cors_allow_origin = "http://a";
  options.allowed_hosts = {"localhost"};
  return options;
}

void check_request(const HttpRequest& request, const HttpServerOptions& options) {
  LOCKSTEP_CHECK(!request.method.empty());
  LOCKSTEP_CHECK(request.path == "*" || request.path.substr(0, 1) == "/");
  LOCKSTEP_CHECK_LE(request.body.size(), static_cast<size_t>(options.max_body_bytes));
  for (const char c : request.path) LOCKSTEP_CHECK(static_cast<unsigned char>(c) >= 0x20);
  for (const auto& [name, value] : request.headers) {
    LOCKSTEP_CHECK(!name.empty());
    LOCKSTEP_CHECK(value.find_first_of("\r\n") == std::string::npos);
  }
}

std::string text_of(const HttpRequest& request) {
  std::string text = request.method + " " + request.path + "?" + request.query + "\n";
  for (const auto& [name, value] : request.headers) text += name + ": " + value + "\n";
  return text + "\n" + request.body;
}

// The statuses of answers, one behind the other. Handlers' bodies are empty, so that all others are JSON errors.
std::vector<int> statuses_of(std::string_view output) {
  constexpr std::string_view kLength = "Content-Length: ";
  std::vector<int> statuses;
  while (!output.empty()) {
    LOCKSTEP_CHECK(output.substr(0, 9) == "HTTP/1.1 ");
    statuses.push_back(std::stoi(std::string(output.substr(9, 3))));
    const size_t end = output.find("\r\n\r\n");
    LOCKSTEP_CHECK(end != std::string_view::npos);
    const std::string_view head = output.substr(0, end);
    output.remove_prefix(end + 4);
    if (statuses.back() == 100) statuses.pop_back();  // depends on whether the body had come
    const size_t length = head.find(kLength);
    if (length == std::string_view::npos || output.substr(0, 1) != "{") continue;
    const size_t size = std::stoul(std::string(head.substr(length + kLength.size())));
    LOCKSTEP_CHECK_LE(size, output.size());
    LOCKSTEP_CHECK(nlohmann::json::parse(output.substr(0, size)).contains("error"));
    output.remove_prefix(size);
  }
  return statuses;
}

Outcome outcome_of(std::string_view input, size_t piece, bool answers_later) {
  const HttpServerOptions options = fuzz_options();
  Outcome outcome;
  std::vector<HttpRespond> waiting;
  MemoryConnection connection(options, [&](HttpRequest request, const HttpRespond& respond) {
    check_request(request, options);
    outcome.requests.push_back(text_of(request));
    if (answers_later) {
      waiting.push_back(respond);
    } else {
      respond({});
    }
  });
  connection.wire().most_read = piece;
  connection.wire().most_written = piece * 16;
  connection.wire().input = input;
  connection.wire().input_has_ended = true;
  connection.run();
  while (!waiting.empty()) {
    const std::vector<HttpRespond> now = std::exchange(waiting, {});
    for (const HttpRespond& respond : now) respond({});
    connection.run();
  }
  LOCKSTEP_CHECK_EQ(connection.closed(), 1);
  outcome.statuses = statuses_of(connection.wire().output);
  LOCKSTEP_CHECK_GE(outcome.statuses.size(), outcome.requests.size());
  return outcome;
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const uint8_t how = lockstep::take_byte(input);
  const auto whole = lockstep::outcome_of(input, size + 1, false);
  const auto pieces = lockstep::outcome_of(input, 1 + how % 128, how >= 128);
  // A chunk's line or a trailer that is too long is seen to be so only while its end is missing.
  for (const auto& outcome : {whole, pieces}) {
    if (std::count(outcome.statuses.begin(), outcome.statuses.end(), 431) > 0) return 0;
  }
  LOCKSTEP_CHECK(whole.requests == pieces.requests);
  LOCKSTEP_CHECK(whole.statuses == pieces.statuses);
  return 0;
}
