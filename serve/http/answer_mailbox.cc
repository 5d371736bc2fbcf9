// SPDX-License-Identifier: Apache-2.0
#include "serve/http/answer_mailbox.h"

#include <atomic>
#include <utility>

#include "serve/http/http_policy.h"

namespace lockstep {
namespace {

class PendingAnswer {
 public:
  PendingAnswer(std::shared_ptr<AnswerMailbox> mailbox, uint64_t connection, uint64_t request)
      : mailbox_(std::move(mailbox)), connection_(connection), request_(request) {}
  ~PendingAnswer() {
    if (!is_given_) give(http_error(500, "the request was dropped without an answer"));
  }
  PendingAnswer(const PendingAnswer&) = delete;
  PendingAnswer& operator=(const PendingAnswer&) = delete;

  void give(HttpResponse response) {
    if (!is_given_.exchange(true)) mailbox_->put({connection_, request_, std::move(response)});
  }

 private:
  const std::shared_ptr<AnswerMailbox> mailbox_;
  const uint64_t connection_, request_;
  std::atomic<bool> is_given_{false};
};

}  // namespace

AnswerMailbox::AnswerMailbox(std::function<void(Answer)> deliver, std::function<void()> wake)
    : deliver_(std::move(deliver)), wake_(std::move(wake)) {}

void AnswerMailbox::set_owner(std::thread::id owner) {
  const std::lock_guard lock(mutex_);
  owner_ = owner;
}

void AnswerMailbox::put(Answer answer) {
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return;
    if (owner_ != std::this_thread::get_id()) {
      answers_.push_back(std::move(answer));
      if (answers_.size() == 1) wake_();
      return;
    }
  }
  deliver_(std::move(answer));
}

void AnswerMailbox::deliver_all() {
  std::vector<Answer> answers;
  {
    const std::lock_guard lock(mutex_);
    answers.swap(answers_);
  }
  for (Answer& answer : answers) deliver_(std::move(answer));
}

void AnswerMailbox::close() {
  const std::lock_guard lock(mutex_);
  is_closed_ = true;
  answers_.clear();
}

HttpRespond make_respond(std::shared_ptr<AnswerMailbox> mailbox, uint64_t connection, uint64_t request) {
  auto pending = std::make_shared<PendingAnswer>(std::move(mailbox), connection, request);
  return [pending = std::move(pending)](HttpResponse response) { pending->give(std::move(response)); };
}

}  // namespace lockstep
