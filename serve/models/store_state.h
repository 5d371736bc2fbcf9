// SPDX-License-Identifier: Apache-2.0
// What the threads of a ModelStore share.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "serve/models/stored_model.h"

namespace lockstep {

class StoreState {
 public:
  explicit StoreState(const StoreOptions& store_options)
      : options(store_options), served_(std::make_shared<const ServedModels>()) {}

  // What requests see. Takes no lock for longer than a copy of the pointer.
  std::shared_ptr<const ServedModels> snapshot() const {
    const std::lock_guard lock(served_mutex_);
    return served_;
  }

  // The rest with the mutex locked.

  // To be called after each change of what is available or wanted.
  void publish() {
    note_who_answers(models);
    has_been_ready = has_been_ready || all_answer(models, false);
    auto served = std::make_shared<const ServedModels>(served_of(models));
    const std::lock_guard lock(served_mutex_);
    served_.swap(served);
  }

  // Requests that have not been answered.
  int64_t running() const {
    int64_t sum = 0;
    for (const auto& [name, model] : models) {
      for (const auto& [number, version] : model.versions) sum += version.servable ? version.servable->running() : 0;
    }
    for (const auto& servable : retired) sum += servable->running();
    return sum;
  }

  const StoreOptions options;
  mutable std::mutex mutex;         // guards what follows; nothing is loaded, and no servable let go, under it
  std::condition_variable changed;  // of what is wanted, or of the two flags
  StoredModels models;
  std::vector<std::shared_ptr<Servable>> retired;  // others of their number have taken over
  bool is_stopping = false, is_draining = false;
  bool has_been_ready = false;  // every model that was wanted has answered, at some moment

 private:
  mutable std::mutex served_mutex_;  // guards the pointer; taken last
  std::shared_ptr<const ServedModels> served_;
};

}  // namespace lockstep
