// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/waiting_calls.h"

#include <fmt/format.h>

#include <utility>

namespace lockstep {

void WaitingCalls::add(std::shared_ptr<WaitingCall> call) {
  std::shared_ptr<WaitingCall> oldest;
  {
    const std::lock_guard lock(mutex_);
    if (places_.size() >= most_ && !places_.empty()) {
      oldest = take_front();
      ++made_room_;
    }
    const WaitingCall* const key = call.get();
    places_.push_back({Clock::now() + bound_, std::move(call)});
    place_of_[key] = std::prev(places_.end());
  }
  // Not under the lock: the library may call back.
  if (oldest != nullptr) {
    oldest->give_up(absl::UnavailableError(
        fmt::format("more than {} calls waited for their clients, and this one longest: try again later", most_)));
  }
}

bool WaitingCalls::remove(const WaitingCall& call) {
  const std::lock_guard lock(mutex_);
  const auto found = place_of_.find(&call);
  if (found == place_of_.end()) return false;
  places_.erase(found->second);
  place_of_.erase(found);
  return true;
}

void WaitingCalls::end_late() {
  std::vector<std::shared_ptr<WaitingCall>> late;
  {
    const std::lock_guard lock(mutex_);
    const Clock::time_point now = Clock::now();
    while (!places_.empty() && places_.front().by <= now) late.push_back(take_front());
    late_ += static_cast<int64_t>(late.size());
  }
  for (const auto& call : late) {
    call->give_up(absl::DeadlineExceededError(fmt::format("no message within {} ms", bound_.count())));
  }
}

void WaitingCalls::end_all(const absl::Status& why) {
  std::list<Place> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(places_);
    place_of_.clear();
  }
  for (const Place& place : all) place.call->give_up(why);
}

size_t WaitingCalls::size() const {
  const std::lock_guard lock(mutex_);
  return places_.size();
}

int64_t WaitingCalls::late() const {
  const std::lock_guard lock(mutex_);
  return late_;
}

int64_t WaitingCalls::made_room() const {
  const std::lock_guard lock(mutex_);
  return made_room_;
}

std::shared_ptr<WaitingCall> WaitingCalls::take_front() {
  std::shared_ptr<WaitingCall> call = std::move(places_.front().call);
  place_of_.erase(call.get());
  places_.pop_front();
  return call;
}

}  // namespace lockstep
