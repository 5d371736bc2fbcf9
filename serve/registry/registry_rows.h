// SPDX-License-Identifier: Apache-2.0
// The tables of the registry, and their rows as values.
#pragma once

#include <string>
#include <vector>

#include "serve/registry/registry.h"
#include "serve/registry/sqlite_database.h"

namespace lockstep {

// Makes the tables when missing. FailedPrecondition for those of a later Lockstep.
absl::Status prepare_tables(SqliteDatabase& database, const std::string& path);

// Rows of models with a default version's name; `where` may be empty.
std::string select_models(const std::string& where);
absl::StatusOr<RegisteredModel> model_of(const SqlRow& row);

// Rows of versions that are not being deleted.
std::string select_versions(const std::string& where);
// `models_directory` is that which holds the directories of the models.
absl::StatusOr<RegisteredVersion> version_of(const SqlRow& row, const std::string& models_directory);

absl::Status insert_model(SqliteDatabase& database, const RegisteredModel& model);
absl::Status insert_version(SqliteDatabase& database, const RegisteredVersion& version);

// The number of a model's next version.
absl::StatusOr<int64_t> next_number(SqliteDatabase& database, const std::string& model);

}  // namespace lockstep
