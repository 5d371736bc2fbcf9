// SPDX-License-Identifier: Apache-2.0
// What a ModelStore keeps of its models, and what it shows of them to requests. Not thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "serve/models/model_store.h"

namespace lockstep {

struct StoredVersion {
  WantedVersion wanted;
  bool is_wanted = true, is_deleted = false;  // deleted: unwanted, and not to answer for want of another
  VersionState state = VersionState::kStart;
  absl::Status status;  // of the last try to load it
  // While it is available or drains. Of another path than wanted.path until what is there has been loaded.
  std::shared_ptr<Servable> servable;
  std::chrono::steady_clock::time_point unload_by;

  // Of a version that failed:
  int tries = 0;    // since its files changed
  int changes = 0;  // of its files
  std::chrono::steady_clock::time_point next_try;
  std::string stamp;  // of its files, when last looked at
  bool is_changing = false;
};

struct StoredModel {
  std::map<int64_t, StoredVersion> versions;
  std::optional<int64_t> wanted_default;
  std::optional<int64_t> default_before;  // the version that was the default until then
  std::string without_versions;
  bool is_wanted = true;
  bool has_answered = false;  // by a version that was available, since there are versions of it that are wanted
};

using StoredModels = std::map<std::string, StoredModel, std::less<>>;

// The version that answers requests which name none; null for none.
std::shared_ptr<Servable> default_of(const StoredModel& model);

// Whether a version is wanted that is not there yet, and may be loaded at `now`.
bool should_load(const StoredVersion& version, int max_retries, std::chrono::steady_clock::time_point now);

// Whether an unwanted version of the model may go: what is wanted instead is there, or nothing is wanted; or it has
// been deleted, and does not stand in for the default.
bool may_unload(const StoredModel& model, const StoredVersion& version);

void note_who_answers(StoredModels& models);  // sets has_answered
// Whether there is a model that answers, and every one does of which a version is wanted; `but_new_ones`: or which
// never has answered.
bool all_answer(const StoredModels& models, bool but_new_ones);

// Changes what is wanted; what has been loaded, or tried, of the same path stays.
void want(StoredModels& models, const WantedModel& wanted);

bool matches(const ModelSelector& selector, const StoredVersion& version);
// The wanted version that would answer `selector` if it were available; null for none.
const StoredVersion* awaited(const StoredModel& model, const ModelSelector& selector);
std::string describe(const ModelSelector& selector);                               // "Specific(mnist, 7)"
std::string version_name(const std::string& model, const WantedVersion& version);  // "version 7 (v7) of model mnist"

// What find() looks at: replaced whole at every change.
struct ServedModel {
  std::map<int64_t, std::shared_ptr<Servable>> by_version;
  std::map<std::string, std::shared_ptr<Servable>, std::less<>> by_label;
  std::shared_ptr<Servable> standard;

  std::shared_ptr<Servable> pick(const ModelSelector& selector) const;  // null for none
};
using ServedModels = std::map<std::string, ServedModel, std::less<>>;
ServedModels served_of(const StoredModels& models);

}  // namespace lockstep
