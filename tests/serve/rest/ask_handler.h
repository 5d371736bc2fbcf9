// SPDX-License-Identifier: Apache-2.0
// A request to a handler without a server between.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "serve/http/http_message.h"

namespace lockstep {

// Waits for the answer; CHECKs that it is one, and that it comes within half a minute.
inline HttpResponse ask_handler(const HttpHandler& handler, HttpRequest request) {
  std::mutex mutex;
  std::condition_variable answered;
  std::optional<HttpResponse> response;
  handler(std::move(request), [&](HttpResponse answer) {
    const std::lock_guard lock(mutex);
    LOCKSTEP_CHECK(!response.has_value());
    response = std::move(answer);
    answered.notify_one();
  });
  std::unique_lock lock(mutex);
  LOCKSTEP_CHECK(answered.wait_for(lock, std::chrono::seconds(30), [&] { return response.has_value(); }));
  return *std::move(response);
}

}  // namespace lockstep
