// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/registry_source.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "core/base/log.h"
#include "serve/models/poller.h"
#include "serve/registry/registry.h"

namespace lockstep {
namespace {

std::string how_to_create_version(const std::string& model) {
  return fmt::format("lockstep versions create v1 --model {} --origin DIR", model);
}

std::string without_versions(const std::string& model) {
  return fmt::format("it has no version in the registry yet; `{}` creates one", how_to_create_version(model));
}

WantedModel wanted_of(const ModelAndVersions& entry) {
  WantedModel wanted{.name = entry.model.name, .versions = {}, .default_version = std::nullopt};
  wanted.without_versions = without_versions(wanted.name);
  wanted.missing_is_deleted = true;  // nothing else makes a version of the registry go
  for (const RegisteredVersion& version : entry.versions) {
    wanted.versions.push_back({.version = version.number,
                               .label = version.name,
                               .path = version.directory,
                               .verify = [directory = version.directory, files = version.files] {
                                 return verify_version_files(directory, files);
                               }});
    if (version.is_default) wanted.default_version = version.number;
  }
  return wanted;
}

using FileId = std::pair<dev_t, ino_t>;

// None when there is no such file.
std::optional<FileId> file_id(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return FileId(info.st_dev, info.st_ino);
}

class RegistrySource : public VersionSource {
 public:
  explicit RegistrySource(RegistrySourceOptions options) : options_(std::move(options)) {}
  ~RegistrySource() override { stop(); }

  absl::Status start(ModelStore& store) override {
    LOCKSTEP_RETURN_IF_ERROR(look(store));
    poller_ = std::make_unique<Poller>(options_.poll_wait, [this, &store] { look_again(store); });
    return absl::OkStatus();
  }

  void stop() override { poller_.reset(); }

 private:
  void look_again(ModelStore& store) {
    const absl::Status status = look(store);
    if (!status.ok() && !has_warned_) {
      LOG_WARNING("{}; what is served stays as it is", std::string(status.message()));
    }
    has_warned_ = !status.ok();
  }

  absl::Status look(ModelStore& store) {
    LOCKSTEP_RETURN_IF_ERROR(open());
    // Before the models: a change between the two is seen the next time.
    LOCKSTEP_ASSIGN_OR_RETURN(const int64_t change, registry_->change_number());
    if (change == seen_change_) return absl::OkStatus();
    LOCKSTEP_ASSIGN_OR_RETURN(const auto models, registry_->models());
    seen_change_ = change;
    warn_of_what_is_missing(models);
    std::vector<WantedModel> wanted;
    for (const ModelAndVersions& model : models) wanted.push_back(wanted_of(model));
    store.set_wanted("the registry " + options_.home, std::move(wanted));
    return absl::OkStatus();
  }

  // Also when another file has taken the place of the database.
  absl::Status open() {
    const std::string path = registry_database(options_.home);
    const auto id = file_id(path);
    if (registry_ != nullptr && !id) {
      return absl::NotFoundError(fmt::format("{}: the registry of models is gone", path));
    }
    if (registry_ != nullptr && id == id_) return absl::OkStatus();
    LOCKSTEP_ASSIGN_OR_RETURN(registry_, Registry::open(options_.home));
    id_ = file_id(path);
    seen_change_.reset();
    return absl::OkStatus();
  }

  void warn_of_what_is_missing(const std::vector<ModelAndVersions>& models) {
    if (models.empty() && (!is_empty_ || !*is_empty_)) {
      LOG_WARNING(
          "The registry {} has no models. Create one, and it is served within moments: `lockstep models create NAME`, "
          "then `{}`; or serve a directory with --model_base_path",
          options_.home, how_to_create_version("NAME"));
    }
    is_empty_ = models.empty();
    std::set<std::string> without;
    for (const ModelAndVersions& model : models) {
      const std::string& name = model.model.name;
      if (!model.versions.empty()) continue;
      if (!without_versions_.contains(name)) LOG_WARNING("Model {}: {}", name, without_versions(name));
      without.insert(name);
    }
    without_versions_ = std::move(without);
  }

  const RegistrySourceOptions options_;
  // Of the thread that looks.
  std::unique_ptr<Registry> registry_;
  std::optional<FileId> id_;
  std::optional<int64_t> seen_change_;
  bool has_warned_ = false;
  std::optional<bool> is_empty_;
  std::set<std::string> without_versions_;
  std::unique_ptr<Poller> poller_;
};

}  // namespace

std::unique_ptr<VersionSource> make_registry_source(const RegistrySourceOptions& options) {
  return std::make_unique<RegistrySource>(options);
}

}  // namespace lockstep
