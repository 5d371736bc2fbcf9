// SPDX-License-Identifier: Apache-2.0
// Brings answers, given on any thread, to the I/O thread of their connection.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "serve/http/http_message.h"

namespace lockstep {

struct Answer {
  uint64_t connection = 0, request = 0;
  HttpResponse response;
};

// Thread-safe. Outlives its I/O thread: an answer may come late.
class AnswerMailbox {
 public:
  // `wake` makes the I/O thread call deliver_all() soon; called with a lock held, it must not block.
  AnswerMailbox(std::function<void(Answer)> deliver, std::function<void()> wake);

  // On the I/O thread: answers given there are delivered at once from now on.
  void set_owner(std::thread::id owner);
  void put(Answer answer);
  void deliver_all();
  // Drops what is in it and what is still put in.
  void close();

 private:
  const std::function<void(Answer)> deliver_;
  const std::function<void()> wake_;
  std::mutex mutex_;  // guards what follows
  std::vector<Answer> answers_;
  std::thread::id owner_;
  bool is_closed_ = false;
};

// For the handler. When all its copies are gone without a call, the request is answered with an error.
HttpRespond make_respond(std::shared_ptr<AnswerMailbox> mailbox, uint64_t connection, uint64_t request);

}  // namespace lockstep
