// SPDX-License-Identifier: Apache-2.0
// A request and its answer, whatever library carries them.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;   // as it came; but "GET" for HEAD, whose answer the server sends without its body
  std::string path;     // of the target, percent-decoded, without the query
  std::string query;    // as it came, without the question mark
  HttpHeaders headers;  // names in lower case
  std::string body;
  std::chrono::steady_clock::time_point received;  // when its last byte had come
  std::chrono::steady_clock::time_point deadline;  // after which nobody waits for the answer

  // The first of this name, "" when there is none.
  std::string_view header(std::string_view lower_case_name) const {
    const auto found = std::find_if(headers.begin(), headers.end(),
                                    [&](const auto& header) { return header.first == lower_case_name; });
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  }
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  HttpHeaders headers = {};  // besides Content-Type and Content-Length
  std::string body = {};
};

// Called at most once, on any thread; harmless when the connection has gone.
using HttpRespond = std::function<void(HttpResponse)>;
// Called on an I/O thread, for several requests at the same time when there are several; must not block.
using HttpHandler = std::function<void(HttpRequest, HttpRespond)>;

}  // namespace lockstep
