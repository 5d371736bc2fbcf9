// SPDX-License-Identifier: Apache-2.0
// The registry of models and their versions: an SQLite file and, for each version, a copy of its SavedModel with
// checksums. Layout of its home:
//   registry.db                     what is registered
//   models/<model>/<number>/        the SavedModel of a version; TensorFlow Serving can serve models/<model>, too
//   models/<model>/temp-*           being made; removed by a later change when its process has been killed
//
// Any number of processes may use one home. A version is registered, in one transaction, when its files are complete,
// fsynced and have been loaded; a process that is killed at any moment leaves it registered whole or not at all.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "serve/registry/version_files.h"

namespace lockstep {

using ResourceLabels = std::map<std::string, std::string>;

struct RegisteredModel {
  std::string name, description;
  std::vector<std::string> regions;  // told again, without effect
  bool online_prediction_logging = false;
  ResourceLabels labels;
  int64_t create_time_s = 0;      // Unix
  std::string default_version{};  // "" while there is none
};

struct RegisteredVersion {
  std::string model, name;
  std::string origin;  // what the files were copied from, absolute
  std::string description, framework = "TENSORFLOW", runtime_version, python_version;  // told again, without effect
  ResourceLabels labels;
  // From here on the registry's own.
  int64_t number = 0;  // 1, 2, 3 … in the order of creation; never given twice in a model's name, even when it is
                       // deleted and created again
  int64_t create_time_s = 0;
  bool is_default = false;
  std::string directory{};  // of the SavedModel
  std::vector<VersionFile> files{};
};

struct NewVersion {
  RegisteredVersion version;
  std::vector<std::string> warnings;  // of load_trained_model()
};

struct ModelAndVersions {
  RegisteredModel model;
  std::vector<RegisteredVersion> versions;  // by number
};

// Not thread-safe; a thread has its own. Errors: InvalidArgument for names that are none, NotFound with the nearest
// name, AlreadyExists, FailedPrecondition for what the rules below forbid, Unavailable when other processes keep the
// database locked for ten seconds, DataLoss when it is damaged.
class Registry {
 public:
  // Makes the home, for its owner alone, and the database when they are missing.
  static absl::StatusOr<std::unique_ptr<Registry>> open(const std::string& home);
  virtual ~Registry() = default;

  virtual absl::Status create_model(const RegisteredModel& model) = 0;
  virtual absl::StatusOr<ModelAndVersions> model(const std::string& name) = 0;
  virtual absl::StatusOr<std::vector<ModelAndVersions>> models() = 0;  // by name, all of one moment
  // Only one without versions.
  virtual absl::Status delete_model(const std::string& name) = 0;

  // Copies `version.origin`, which is what load_trained_model() takes. The first version of a model is its default.
  virtual absl::StatusOr<NewVersion> create_version(const RegisteredVersion& version) = 0;
  virtual absl::StatusOr<RegisteredVersion> version(const std::string& model, const std::string& name) = 0;
  virtual absl::StatusOr<RegisteredVersion> set_default(const std::string& model, const std::string& name) = 0;
  // The default version only as the last one. It is gone for everyone before its files go.
  virtual absl::Status delete_version(const std::string& model, const std::string& name) = 0;

  // Another number when another process has changed something.
  virtual absl::StatusOr<int64_t> change_number() = 0;
};

// Where the database of a home is.
std::string registry_database(const std::string& home);

}  // namespace lockstep
