// SPDX-License-Identifier: Apache-2.0
// The models that a server offers, each in one or several versions. A new version is loaded and warmed on a thread of
// low priority while the old one answers; then it takes over, and the old one goes when its last request is answered.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "serve/models/servable.h"

namespace lockstep {

// With the numbers of tensorflow.serving.ModelVersionStatus.State.
enum class VersionState { kUnknown = 0, kStart = 10, kLoading = 20, kAvailable = 30, kUnloading = 40, kEnd = 50 };
std::string_view version_state_name(VersionState state);  // "AVAILABLE"

// A model, and its default version unless a number or a label says which.
struct ModelSelector {
  std::string model;
  std::optional<int64_t> version;
  std::string label;
};

struct VersionStatus {
  int64_t version = 0;
  std::string label;
  VersionState state = VersionState::kUnknown;
  absl::Status status;      // why a version is not available
  bool is_default = false;  // answers requests that name no version
  std::string path;
};

struct WantedVersion {
  int64_t version = 0;
  std::string label, path;
  // Called on a thread of low priority before each try to load it; an error keeps it from being loaded.
  std::function<absl::Status()> verify = nullptr;
};

struct WantedModel {
  std::string name;
  std::vector<WantedVersion> versions;
  // Answers requests that name no version. Until it is available the one that did so before goes on, if there is one.
  // None: the highest that is available.
  std::optional<int64_t> default_version;
  std::string without_versions{};  // what to tell those who ask for it while it has none
  // Whether a version that is not among `versions` any more has been deleted on purpose: nobody gets it by its name
  // from then on. One that was the default answers requests that name no version for as long as the new default is on
  // its way, but not when that has failed to load.
  bool missing_is_deleted = false;
};

struct StoreOptions {
  ServableOptions servable;
  // Of a version that does not load. When its files change it is tried anew, as soon as they are at rest.
  int max_load_retries = 5;
  std::chrono::milliseconds load_retry_interval{60000};
  std::chrono::milliseconds unload_bound{30000};  // for requests on a version that goes
};

// Thread-safe.
class ModelStore {
 public:
  explicit ModelStore(const StoreOptions& options);
  ~ModelStore();  // as drain(), with no time

  // Fast; takes no lock that a load holds. NotFound: "Servable not found for request: Latest(NAME)" or
  // "Specific(NAME, 7)", with what the source tells of a model without versions; for a version that is wanted but not
  // available, Unavailable with the reason.
  absl::StatusOr<std::shared_ptr<Servable>> find(const ModelSelector& selector) const;
  // Newest first: what is wanted, in state END with the reason when it did not load, and what still drains. NotFound
  // "Could not find any versions of model NAME".
  absl::StatusOr<std::vector<VersionStatus>> status(const ModelSelector& selector) const;
  std::vector<std::string> models() const;  // names, sorted
  // Every model of which a version is wanted has one available, there is at least one such model, and drain() has not
  // been called. A model that has no versions yet does not keep the others' server from being ready. Nor, once that has
  // been so, does a new one whose versions load or fail: only one that has answered and does so no more.
  bool ready() const;

  // What `source` wants from now on, instead of what it wanted before. Returns at once; a version that no longer is
  // wanted goes after those that are wanted instead of it have been loaded, and stays if none of them loads, unless
  // it has been deleted (see WantedModel). A number that is wanted from another path than before is loaded from there.
  void set_wanted(const std::string& source, std::vector<WantedModel> models);

  // Not ready from now on, loads nothing more, and waits for running requests. False when some still ran at the bound.
  bool drain(std::chrono::milliseconds bound);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep
