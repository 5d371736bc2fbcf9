// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/registry.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/suggest.h"
#include "serve/registry/registry_home.h"
#include "serve/registry/registry_rows.h"
#include "serve/registry/staging_directory.h"

namespace lockstep {
namespace {

constexpr char kModels[] = "models";

// What nobody else may see belongs to its owner alone, also in a directory that others may look into.
absl::Status make_private_directory(const std::string& path) {
  if (is_directory(path)) return absl::OkStatus();
  LOCKSTEP_RETURN_IF_ERROR(make_directories(directory_name(path)));
  if (mkdir(path.c_str(), 0700) == 0) return sync_directory(directory_name(path));
  if (errno == EEXIST && is_directory(path)) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, fmt::format("{}: cannot create a directory of the registry", path));
}

// Empty, if it is not there: SQLite would let everybody read one that it makes. Its other files get this one's mode.
absl::Status make_private_file(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor >= 0) {
    close(descriptor);
  } else if (errno != EEXIST) {
    return absl::ErrnoToStatus(errno, fmt::format("{}: cannot create the database of the registry", path));
  }
  return absl::OkStatus();
}

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : without_trailing_slashes(absolute.lexically_normal().string());
}

// Another process may be removing it, too.
absl::Status remove_shared_tree(const std::string& path) {
  const absl::Status status = remove_tree(path);
  return file_exists(path) ? status : absl::OkStatus();
}

class SqliteRegistry : public Registry {
 public:
  SqliteRegistry(std::string home, SqliteDatabase database)
      : home_(std::move(home)), models_(join_path(home_, kModels)), database_(std::move(database)) {}

  absl::Status create_model(const RegisteredModel& model) override {
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("model", model.name));
    LOCKSTEP_ASSIGN_OR_RETURN(auto change, database_.begin_write());
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows, database_.run("SELECT 1 FROM models WHERE name = ?", {model.name}));
    if (!rows.empty()) {
      return absl::AlreadyExistsError(
          fmt::format("there is a model `{}` in the registry {} already", model.name, home_));
    }
    RegisteredModel made = model;
    made.create_time_s = std::time(nullptr);
    LOCKSTEP_RETURN_IF_ERROR(insert_model(database_, made));
    return change.commit();
  }

  absl::StatusOr<ModelAndVersions> model(const std::string& name) override {
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("model", name));
    LOCKSTEP_ASSIGN_OR_RETURN(auto reading, database_.begin_read());
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows, database_.run(select_models("WHERE models.name = ?"), {name}));
    if (rows.empty()) return no_model(name);
    return with_versions(rows[0]);
  }

  absl::StatusOr<std::vector<ModelAndVersions>> models() override {
    LOCKSTEP_ASSIGN_OR_RETURN(auto reading, database_.begin_read());
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows, database_.run(select_models("")));
    std::vector<ModelAndVersions> result;
    for (const SqlRow& row : rows) {
      LOCKSTEP_ASSIGN_OR_RETURN(ModelAndVersions model, with_versions(row));
      result.push_back(std::move(model));
    }
    return result;
  }

  absl::Status delete_model(const std::string& name) override {
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("model", name));
    clean_up();
    LOCKSTEP_ASSIGN_OR_RETURN(auto change, database_.begin_write());
    LOCKSTEP_RETURN_IF_ERROR(check_model(name));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto names, version_names(name));
    if (!names.empty()) {
      return absl::FailedPreconditionError(
          fmt::format("model `{}` cannot be deleted: it has {} {}; delete these first: `lockstep versions delete {} "
                      "--model {}`",
                      name, names.size(), names.size() == 1 ? "version" : "versions", names.back(), name));
    }
    LOCKSTEP_RETURN_IF_ERROR(database_.run("DELETE FROM models WHERE name = ?", {name}).status());
    LOCKSTEP_RETURN_IF_ERROR(change.commit());
    // Stays when it is not empty: somebody makes a version of a new model of this name.
    std::error_code ignored;
    std::filesystem::remove(directory_of(name), ignored);
    return absl::OkStatus();
  }

  absl::StatusOr<NewVersion> create_version(const RegisteredVersion& wanted) override {
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("model", wanted.model));
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("version", wanted.name));
    LOCKSTEP_RETURN_IF_ERROR(check_new(wanted));  // before the work
    clean_up();
    LOCKSTEP_RETURN_IF_ERROR(make_private_directory(models_));
    const std::string parent = directory_of(wanted.model);
    LOCKSTEP_ASSIGN_OR_RETURN(const StagingDirectory staging, StagingDirectory::create(parent));
    LOCKSTEP_ASSIGN_OR_RETURN(StagedModel staged, stage_model(wanted.origin, staging.path()));
    RegisteredVersion version = wanted;
    version.origin = absolute_path(wanted.origin);
    version.files = std::move(staged.files);
    LOCKSTEP_RETURN_IF_ERROR(enter(staged.directory, version));
    return NewVersion{std::move(version), std::move(staged.warnings)};
  }

  absl::StatusOr<RegisteredVersion> version(const std::string& model, const std::string& name) override {
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("model", model));
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("version", name));
    LOCKSTEP_ASSIGN_OR_RETURN(auto reading, database_.begin_read());
    return find_version(model, name);
  }

  absl::StatusOr<RegisteredVersion> set_default(const std::string& model, const std::string& name) override {
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("model", model));
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("version", name));
    LOCKSTEP_ASSIGN_OR_RETURN(auto change, database_.begin_write());
    LOCKSTEP_ASSIGN_OR_RETURN(RegisteredVersion version, find_version(model, name));
    LOCKSTEP_RETURN_IF_ERROR(set_default_number(model, version.number));
    LOCKSTEP_RETURN_IF_ERROR(change.commit());
    version.is_default = true;
    return version;
  }

  absl::Status delete_version(const std::string& model, const std::string& name) override {
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("model", model));
    LOCKSTEP_RETURN_IF_ERROR(check_registry_name("version", name));
    clean_up();
    LOCKSTEP_ASSIGN_OR_RETURN(const RegisteredVersion version, mark_deleting(model, name));
    return annotate(finish_deletion(model, version.number),
                    fmt::format("version `{}` of model `{}` is deleted, but its files could not be removed; the next "
                                "change of the registry tries again",
                                name, model));
  }

  absl::StatusOr<int64_t> change_number() override {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows, database_.run("PRAGMA data_version"));
    return integer_at(rows.at(0), 0);
  }

 private:
  std::string directory_of(const std::string& model) const { return join_path(models_, model); }
  std::string directory_of(const std::string& model, int64_t number) const {
    return join_path(directory_of(model), fmt::format("{}", number));
  }

  // Of one transaction, as all that follows.
  absl::StatusOr<ModelAndVersions> with_versions(const SqlRow& row) {
    ModelAndVersions result;
    LOCKSTEP_ASSIGN_OR_RETURN(result.model, model_of(row));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows,
                              database_.run(select_versions("AND versions.model = ?"), {result.model.name}));
    for (const SqlRow& each : rows) {
      LOCKSTEP_ASSIGN_OR_RETURN(RegisteredVersion version, version_of(each, models_));
      result.versions.push_back(std::move(version));
    }
    return result;
  }

  absl::Status no_model(const std::string& name) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows, database_.run("SELECT name FROM models ORDER BY name"));
    std::vector<std::string> names;
    for (const SqlRow& row : rows) names.push_back(text_at(row, 0));
    return absl::NotFoundError(
        fmt::format("no model `{}` in the registry {}{}; create it with `lockstep models create "
                    "{}`",
                    name, home_, did_you_mean(name, names), name));
  }

  absl::Status check_model(const std::string& name) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows, database_.run("SELECT 1 FROM models WHERE name = ?", {name}));
    return rows.empty() ? no_model(name) : absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> version_names(const std::string& model) {
    LOCKSTEP_ASSIGN_OR_RETURN(
        const auto rows,
        database_.run("SELECT name FROM versions WHERE model = ? AND is_deleting = 0 ORDER BY number", {model}));
    std::vector<std::string> names;
    for (const SqlRow& row : rows) names.push_back(text_at(row, 0));
    return names;
  }

  absl::StatusOr<RegisteredVersion> find_version(const std::string& model, const std::string& name) {
    LOCKSTEP_RETURN_IF_ERROR(check_model(model));
    LOCKSTEP_ASSIGN_OR_RETURN(
        const auto rows, database_.run(select_versions("AND versions.model = ? AND versions.name = ?"), {model, name}));
    if (!rows.empty()) return version_of(rows[0], models_);
    LOCKSTEP_ASSIGN_OR_RETURN(const auto names, version_names(model));
    return absl::NotFoundError(fmt::format(
        "model `{}` has no version `{}`{}; {}", model, name, did_you_mean(name, names),
        names.empty()
            ? fmt::format("it has none yet: `lockstep versions create {} --model {} --origin DIR`", name, model)
            : fmt::format("`lockstep versions list --model {}` lists its versions", model)));
  }

  absl::Status check_new(const RegisteredVersion& version) {
    LOCKSTEP_RETURN_IF_ERROR(check_model(version.model));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows,
                              database_.run("SELECT 1 FROM versions WHERE model = ? AND name = ? AND is_deleting = 0",
                                            {version.model, version.name}));
    if (rows.empty()) return absl::OkStatus();
    return absl::AlreadyExistsError(
        fmt::format("model `{}` has a version `{}` already; choose another name, or delete that one first",
                    version.model, version.name));
  }

  absl::Status set_default_number(const std::string& model, SqlValue number) {
    return database_.run("UPDATE models SET default_number = ? WHERE name = ?", {std::move(number), model}).status();
  }

  // Gives complete files their number and their place, and registers them.
  absl::Status enter(const std::string& files, RegisteredVersion& version) {
    LOCKSTEP_ASSIGN_OR_RETURN(auto change, database_.begin_write());
    LOCKSTEP_RETURN_IF_ERROR(check_new(version));  // much may have happened meanwhile
    LOCKSTEP_ASSIGN_OR_RETURN(const auto others, version_names(version.model));
    LOCKSTEP_ASSIGN_OR_RETURN(version.number, next_number(database_, version.model));
    version.directory = directory_of(version.model, version.number);
    version.create_time_s = std::time(nullptr);
    version.is_default = others.empty();
    // Of a process that was killed just before its commit.
    LOCKSTEP_RETURN_IF_ERROR(remove_tree(version.directory));
    LOCKSTEP_RETURN_IF_ERROR(rename_path(files, version.directory));
    LOCKSTEP_RETURN_IF_ERROR(insert_version(database_, version));
    LOCKSTEP_RETURN_IF_ERROR(
        database_.run("INSERT OR REPLACE INTO numbers VALUES (?, ?)", {version.model, int64_t{version.number + 1}})
            .status());
    if (version.is_default) LOCKSTEP_RETURN_IF_ERROR(set_default_number(version.model, version.number));
    return change.commit();
  }

  absl::StatusOr<RegisteredVersion> mark_deleting(const std::string& model, const std::string& name) {
    LOCKSTEP_ASSIGN_OR_RETURN(auto change, database_.begin_write());
    LOCKSTEP_ASSIGN_OR_RETURN(RegisteredVersion version, find_version(model, name));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto names, version_names(model));
    if (version.is_default && names.size() > 1) {
      const std::string& other = names.back() == name ? names.front() : names.back();
      return absl::FailedPreconditionError(fmt::format(
          "version `{}` is the default of model `{}` and cannot be deleted while there are others; make another the "
          "default first: `lockstep versions set-default {} --model {}`",
          name, model, other, model));
    }
    if (version.is_default) LOCKSTEP_RETURN_IF_ERROR(set_default_number(model, std::monostate()));
    LOCKSTEP_RETURN_IF_ERROR(
        database_.run("UPDATE versions SET is_deleting = 1 WHERE model = ? AND number = ?", {model, version.number})
            .status());
    LOCKSTEP_RETURN_IF_ERROR(change.commit());
    return version;
  }

  absl::Status finish_deletion(const std::string& model, int64_t number) {
    LOCKSTEP_RETURN_IF_ERROR(remove_shared_tree(directory_of(model, number)));
    return database_.run("DELETE FROM versions WHERE model = ? AND number = ? AND is_deleting = 1", {model, number})
        .status();
  }

  // What processes that were killed have left.
  void clean_up() {
    for (const absl::Status& status : {finish_deletions(), remove_unregistered(), remove_staging_directories()}) {
      if (!status.ok()) LOG_WARNING("Leftovers in the registry stay for now: {}", std::string(status.message()));
    }
  }

  absl::Status finish_deletions() {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows,
                              database_.run("SELECT model, number FROM versions WHERE is_deleting = 1"));
    for (const SqlRow& row : rows) LOCKSTEP_RETURN_IF_ERROR(finish_deletion(text_at(row, 0), integer_at(row, 1)));
    return absl::OkStatus();
  }

  // The only number that can have files without being registered is a model's next one: its transaction did not end.
  absl::Status remove_unregistered() {
    if (!is_directory(models_)) return absl::OkStatus();
    LOCKSTEP_ASSIGN_OR_RETURN(const auto models, list_directory(models_));
    for (const std::string& model : models) {
      LOCKSTEP_ASSIGN_OR_RETURN(const int64_t seen, next_number(database_, model));
      if (!is_directory(directory_of(model, seen))) continue;
      LOCKSTEP_ASSIGN_OR_RETURN(auto change, database_.begin_write());  // nobody else is between rename and commit
      LOCKSTEP_ASSIGN_OR_RETURN(const int64_t next, next_number(database_, model));
      const bool is_left = next == seen && is_directory(directory_of(model, next));
      if (is_left) LOCKSTEP_RETURN_IF_ERROR(abandon(directory_of(model), directory_of(model, next)));
    }
    return absl::OkStatus();
  }

  absl::Status remove_staging_directories() {
    if (!is_directory(models_)) return absl::OkStatus();
    LOCKSTEP_ASSIGN_OR_RETURN(const auto models, list_directory(models_));
    for (const std::string& model : models) LOCKSTEP_RETURN_IF_ERROR(remove_abandoned(directory_of(model)));
    return absl::OkStatus();
  }

  const std::string home_, models_;
  SqliteDatabase database_;
};

}  // namespace

std::string registry_database(const std::string& home) { return join_path(home, "registry.db"); }

absl::StatusOr<std::unique_ptr<Registry>> Registry::open(const std::string& home) {
  const std::string directory = without_trailing_slashes(home);
  LOCKSTEP_RETURN_IF_ERROR(make_private_directory(directory));
  LOCKSTEP_RETURN_IF_ERROR(make_private_file(registry_database(directory)));
  LOCKSTEP_ASSIGN_OR_RETURN(SqliteDatabase database, SqliteDatabase::open(registry_database(directory)));
  LOCKSTEP_RETURN_IF_ERROR(prepare_tables(database, registry_database(directory)));
  return std::make_unique<SqliteRegistry>(directory, std::move(database));
}

}  // namespace lockstep
