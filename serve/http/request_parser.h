// SPDX-License-Identifier: Apache-2.0
// Reads one request after the other from bytes in memory: Beast's parser, and what it lets pass that two programs could
// understand differently (folded lines, repeated lengths, codings besides chunked, bare line feeds).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "serve/http/http_message.h"

namespace lockstep {

struct ParserLimits {
  size_t header_bytes = 16 << 10;  // request line and headers; also a chunk's line and the trailer
  uint64_t body_bytes = 64 << 20;
};

// Why a request is refused: the status to answer with, and what was expected.
struct ParseError {
  int status = 0;
  std::string reason;
};

class RequestParser {
 public:
  enum class State { kHead, kBody, kDone, kFailed };

  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();

  // Takes bytes from the front and returns how many; the others are to be given again, with more behind them. Stops
  // after the head, so that the caller can look at it, and after the request. A body that is announced as too long
  // fails with the head.
  size_t put(std::string_view bytes);
  State state() const { return state_; }
  const ParseError& error() const { return error_; }  // of kFailed

  // Complete but for its body once the state has left kHead; what a failed request had come to, afterwards. The
  // method HEAD becomes GET, for it is answered like that. May be moved from when done.
  HttpRequest& request() { return request_; }
  bool is_head_request() const;                  // the answer has no body
  bool is_http_1_0() const;                      // whose connections end with the answer unless it says otherwise
  bool keeps_alive() const;                      // the client is ready for another request
  bool has_begun() const { return has_begun_; }  // has seen any of the request

  // Ready for the next request.
  void reset();

 private:
  class Beast;
  size_t put_head(std::string_view bytes);
  size_t put_body(std::string_view bytes);
  size_t find_end_of_head(std::string_view bytes);
  void fail(int status, std::string reason);

  const ParserLimits limits_;
  std::unique_ptr<Beast> beast_;
  State state_ = State::kHead;
  HttpRequest request_;
  ParseError error_;
  size_t scanned_ = 0;  // of the head, up to the last line feed looked at
  bool has_begun_ = false;
};

}  // namespace lockstep
