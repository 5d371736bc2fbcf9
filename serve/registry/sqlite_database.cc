// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/sqlite_database.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace lockstep {
namespace {

constexpr int kBusyTimeoutMs = 10'000;

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

absl::StatusCode code_of(int sqlite_code) {
  switch (sqlite_code & 0xff) {  // the low byte of an extended code is the primary one
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInternal;
  }
}

void bind(sqlite3_stmt* statement, int index, const SqlValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) {
    sqlite3_bind_int64(statement, index, *number);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    sqlite3_bind_text(statement, index, text->data(), static_cast<int>(text->size()), SQLITE_TRANSIENT);
  } else {
    sqlite3_bind_null(statement, index);
  }
}

SqlValue column(sqlite3_stmt* statement, int index) {
  switch (sqlite3_column_type(statement, index)) {
    case SQLITE_NULL:
      return std::monostate();
    case SQLITE_INTEGER:
      return int64_t{sqlite3_column_int64(statement, index)};
    default: {
      // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): SQLite's text is of unsigned characters
      const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(statement, index));
      return std::string(text == nullptr ? "" : text, static_cast<size_t>(sqlite3_column_bytes(statement, index)));
    }
  }
}

SqlRow row_of(sqlite3_stmt* statement) {
  SqlRow row;
  for (int i = 0; i < sqlite3_column_count(statement); ++i) row.push_back(column(statement, i));
  return row;
}

}  // namespace

std::string text_at(const SqlRow& row, size_t column) {
  const auto* value = column < row.size() ? std::get_if<std::string>(&row[column]) : nullptr;
  return value == nullptr ? "" : *value;
}

int64_t integer_at(const SqlRow& row, size_t column) {
  const auto* value = column < row.size() ? std::get_if<int64_t>(&row[column]) : nullptr;
  return value == nullptr ? 0 : *value;
}

void SqliteDatabase::Close::operator()(sqlite3* handle) const { sqlite3_close(handle); }

absl::Status SqliteDatabase::error(const std::string& what) const {
  const int code = sqlite3_extended_errcode(handle_.get());
  if (code_of(code) == absl::StatusCode::kUnavailable) {
    return absl::UnavailableError(fmt::format("{}: cannot {}: another process has kept it locked for {} s; try again",
                                              path_, what, kBusyTimeoutMs / 1000));
  }
  return absl::Status(code_of(code),
                      fmt::format("{}: cannot {}: {} (SQLite {})", path_, what, sqlite3_errmsg(handle_.get()), code));
}

absl::StatusOr<SqliteDatabase> SqliteDatabase::open(const std::string& path) {
  SqliteDatabase database;
  database.path_ = path;
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  database.handle_.reset(handle);  // also after a failure, with the reason
  if (handle == nullptr) return absl::ResourceExhaustedError(fmt::format("{}: no memory to open it", path));
  if (code != SQLITE_OK) return database.error("open the database");
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return database;
}

absl::StatusOr<std::vector<SqlRow>> SqliteDatabase::run(const std::string& sql,
                                                        std::initializer_list<SqlValue> values) {
  const std::string what = fmt::format("run `{}`", sql.substr(0, sql.find(' ')));
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(handle_.get(), sql.c_str(), -1, &prepared, nullptr) != SQLITE_OK) return error(what);
  const Statement statement(prepared);
  int index = 0;
  for (const SqlValue& value : values) bind(prepared, ++index, value);
  std::vector<SqlRow> rows;
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(prepared)) == SQLITE_ROW) rows.push_back(row_of(prepared));
  if (code != SQLITE_DONE) return error(what);
  return rows;
}

absl::StatusOr<SqliteDatabase::Transaction> SqliteDatabase::begin_write() {
  LOCKSTEP_RETURN_IF_ERROR(run("BEGIN IMMEDIATE").status());
  return Transaction(*this);
}

absl::StatusOr<SqliteDatabase::Transaction> SqliteDatabase::begin_read() {
  LOCKSTEP_RETURN_IF_ERROR(run("BEGIN").status());
  return Transaction(*this);
}

absl::Status SqliteDatabase::Transaction::commit() {
  LOCKSTEP_RETURN_IF_ERROR(database_->run("COMMIT").status());
  database_ = nullptr;
  return absl::OkStatus();
}

SqliteDatabase::Transaction::~Transaction() {
  if (database_ != nullptr) database_->run("ROLLBACK").status().IgnoreError();  // fails when it has been rolled back
}

}  // namespace lockstep
