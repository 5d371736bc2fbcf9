// SPDX-License-Identifier: Apache-2.0
// An answer's bytes on the wire.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "serve/http/http_message.h"

namespace lockstep {

struct AnswerStyle {
  bool is_http_1_0 = false;
  bool keeps_alive = true;
  std::string_view date;     // as HttpDate makes it
  std::string_view headers;  // further ones, each with its CR LF
};

// Appends status line, headers and the empty line. Line breaks in a header's value become spaces: nothing that came
// from a request can add a header.
void append_answer_head(const HttpResponse& response, const AnswerStyle& style, std::string& out);

// Whether an answer of this status has a body at all.
bool status_has_body(int status);

// "Sun, 06 Nov 1994 08:49:37 GMT", made once a second. One thread at a time.
class HttpDate {
 public:
  std::string_view now();

 private:
  std::chrono::sys_seconds second_{};
  std::string text_;
};

}  // namespace lockstep
