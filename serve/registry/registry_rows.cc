// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/registry_rows.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <tuple>

#include "core/base/file.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr int64_t kSchema = 1;

// `numbers` outlives the models, so that a number, and with it the path of a version, never means another version.
// A model's default is a number: a version that is deleted and created again under its name is another one.
constexpr const char* kTables[] = {
    "CREATE TABLE models (name TEXT PRIMARY KEY, description TEXT NOT NULL, regions TEXT NOT NULL, logging INTEGER NOT "
    "NULL, labels TEXT NOT NULL, create_time INTEGER NOT NULL, default_number INTEGER)",
    "CREATE TABLE numbers (model TEXT PRIMARY KEY, next INTEGER NOT NULL)",
    "CREATE TABLE versions (model TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, is_deleting INTEGER NOT "
    "NULL DEFAULT 0, origin TEXT NOT NULL, description TEXT NOT NULL, framework TEXT NOT NULL, runtime_version TEXT "
    "NOT "
    "NULL, python_version TEXT NOT NULL, labels TEXT NOT NULL, create_time INTEGER NOT NULL, files TEXT NOT NULL, "
    "PRIMARY KEY (model, number))",
    "CREATE UNIQUE INDEX version_names ON versions (model, name) WHERE is_deleting = 0"};

// Bytes that are no UTF-8 become U+FFFD.
std::string stored(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

// A bad value of somebody who has edited the database is told, and thrown no further.
template <typename Value>
absl::StatusOr<Value> parse_stored(const std::string& stored, const std::string& what) {
  const json parsed = json::parse(stored, nullptr, false);
  try {
    return parsed.get<Value>();
  } catch (const json::exception& error) {
    return absl::DataLossError(
        fmt::format("registry.db is damaged: {} is `{}`: {}", what, stored.substr(0, 100), error.what()));
  }
}

using StoredFiles = std::vector<std::tuple<std::string, int64_t, std::string>>;

std::string stored(const std::vector<VersionFile>& files) {
  StoredFiles list;
  for (const VersionFile& file : files) list.emplace_back(file.path, file.size_bytes, file.sha256);
  return stored(json(list));
}

absl::StatusOr<std::vector<VersionFile>> parse_files(const std::string& text) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto list, parse_stored<StoredFiles>(text, "a version's list of files"));
  std::vector<VersionFile> files;
  for (const auto& [path, size_bytes, sha256] : list) files.push_back({path, size_bytes, sha256});
  return files;
}

}  // namespace

absl::Status prepare_tables(SqliteDatabase& database, const std::string& path) {
  const auto schema = [&]() -> absl::StatusOr<int64_t> {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto rows, database.run("PRAGMA user_version"));
    return integer_at(rows.at(0), 0);
  };
  LOCKSTEP_ASSIGN_OR_RETURN(int64_t found, schema());
  if (found == 0) {
    LOCKSTEP_ASSIGN_OR_RETURN(auto change, database.begin_write());
    LOCKSTEP_ASSIGN_OR_RETURN(found, schema());  // another process may have been first
    if (found == 0) {
      for (const char* table : kTables) LOCKSTEP_RETURN_IF_ERROR(database.run(table).status());
      LOCKSTEP_RETURN_IF_ERROR(database.run(fmt::format("PRAGMA user_version = {}", kSchema)).status());
      found = kSchema;
    }
    LOCKSTEP_RETURN_IF_ERROR(change.commit());
  }
  if (found == kSchema) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: a registry of format {}, but this Lockstep knows {} only: it was made by a later version, which "
                  "is needed to use it",
                  path, found, kSchema));
}

std::string select_models(const std::string& where) {
  return fmt::format(
      "SELECT models.name, models.description, regions, logging, models.labels, models.create_time, versions.name FROM "
      "models LEFT JOIN versions ON versions.model = models.name AND number = default_number {} ORDER BY models.name",
      where);
}

absl::StatusOr<RegisteredModel> model_of(const SqlRow& row) {
  RegisteredModel model;
  model.name = text_at(row, 0);
  model.description = text_at(row, 1);
  LOCKSTEP_ASSIGN_OR_RETURN(model.regions,
                            parse_stored<std::vector<std::string>>(text_at(row, 2), "a model's list of regions"));
  model.online_prediction_logging = integer_at(row, 3) != 0;
  LOCKSTEP_ASSIGN_OR_RETURN(model.labels, parse_stored<ResourceLabels>(text_at(row, 4), "a model's set of labels"));
  model.create_time_s = integer_at(row, 5);
  model.default_version = text_at(row, 6);
  return model;
}

std::string select_versions(const std::string& where) {
  return fmt::format(
      "SELECT versions.model, number, versions.name, origin, versions.description, framework, runtime_version, "
      "python_version, versions.labels, versions.create_time, files, number = default_number FROM versions JOIN models "
      "ON models.name = versions.model WHERE is_deleting = 0 {} ORDER BY number",
      where);
}

absl::StatusOr<RegisteredVersion> version_of(const SqlRow& row, const std::string& models_directory) {
  RegisteredVersion version;
  version.model = text_at(row, 0);
  version.number = integer_at(row, 1);
  version.name = text_at(row, 2);
  version.origin = text_at(row, 3);
  version.description = text_at(row, 4);
  version.framework = text_at(row, 5);
  version.runtime_version = text_at(row, 6);
  version.python_version = text_at(row, 7);
  LOCKSTEP_ASSIGN_OR_RETURN(version.labels, parse_stored<ResourceLabels>(text_at(row, 8), "a version's set of labels"));
  version.create_time_s = integer_at(row, 9);
  LOCKSTEP_ASSIGN_OR_RETURN(version.files, parse_files(text_at(row, 10)));
  version.is_default = integer_at(row, 11) != 0;
  version.directory = join_path(join_path(models_directory, version.model), fmt::format("{}", version.number));
  return version;
}

absl::Status insert_model(SqliteDatabase& database, const RegisteredModel& model) {
  return database
      .run("INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, NULL)",
           {model.name, model.description, stored(json(model.regions)), int64_t{model.online_prediction_logging},
            stored(json(model.labels)), model.create_time_s})
      .status();
}

absl::Status insert_version(SqliteDatabase& database, const RegisteredVersion& version) {
  return database
      .run("INSERT INTO versions VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
           {version.model, version.number, version.name, version.origin, version.description, version.framework,
            version.runtime_version, version.python_version, stored(json(version.labels)), version.create_time_s,
            stored(version.files)})
      .status();
}

absl::StatusOr<int64_t> next_number(SqliteDatabase& database, const std::string& model) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto rows, database.run("SELECT next FROM numbers WHERE model = ?", {model}));
  return rows.empty() ? int64_t{1} : integer_at(rows[0], 0);
}

}  // namespace lockstep
