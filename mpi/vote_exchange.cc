// SPDX-License-Identifier: Apache-2.0
#include "mpi/vote_exchange.h"

#include <chrono>

#include "core/base/check.h"

namespace lockstep {
namespace {

// Not used by the transports of gradients.
constexpr int kExchangeTag = MessagePort::kTags - 1;

}  // namespace

VoteExchange::VoteExchange(Communicator& communicator)
    : communicator_(communicator), votes_(static_cast<size_t>(communicator.size())) {}

VoteExchange::~VoteExchange() {
  for (MessageRequest& request : requests_) communicator_.messages()->cancel(&request);
}

absl::Status VoteExchange::start(uint32_t vote) {
  LOCKSTEP_CHECK(requests_.empty());
  mine_ = vote;
  votes_[static_cast<size_t>(communicator_.rank())] = vote;
  for (int peer = 0; peer < communicator_.size(); ++peer) {
    if (peer == communicator_.rank()) continue;
    MessagePort& port = *communicator_.messages();
    LOCKSTEP_RETURN_IF_ERROR(port.receive(peer, kExchangeTag, &votes_[static_cast<size_t>(peer)], sizeof(uint32_t),
                                          &requests_.emplace_back()));
    LOCKSTEP_RETURN_IF_ERROR(port.send(peer, kExchangeTag, &mine_, sizeof(mine_), &requests_.emplace_back()));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> VoteExchange::arrived() {
  while (!requests_.empty()) {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool done, communicator_.messages()->test(&requests_.back()));
    if (!done) return false;
    requests_.pop_back();
  }
  return true;
}

absl::StatusOr<uint32_t> VoteExchange::finish() {
  const auto start = std::chrono::steady_clock::now();
  LOCKSTEP_RETURN_IF_ERROR(communicator_.wait_for_others("the votes of a step", [this] { return arrived(); }));
  wait_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  uint32_t all = 0;
  for (const uint32_t vote : votes_) all |= vote;
  return all;
}

}  // namespace lockstep
