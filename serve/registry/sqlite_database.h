// SPDX-License-Identifier: Apache-2.0
// A small SQLite file that several processes share: statements, rows and transactions as Status and values.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/status.h"

struct sqlite3;

namespace lockstep {

using SqlValue = std::variant<std::monostate, int64_t, std::string>;  // monostate is NULL
using SqlRow = std::vector<SqlValue>;

// "" and 0 for a column that is not there, or of another type: anybody may have edited the file.
std::string text_at(const SqlRow& row, size_t column);
int64_t integer_at(const SqlRow& row, size_t column);

// Not thread-safe; a thread or process has its own. Each call waits up to ten seconds for others that write, then it is
// Unavailable. DataLoss for a file that is no database, or a damaged one. Messages begin with the path.
class SqliteDatabase {
 public:
  // Made when missing, in a directory that exists.
  static absl::StatusOr<SqliteDatabase> open(const std::string& path);

  // Runs one statement, `values` in place of its `?`, and returns all its rows.
  absl::StatusOr<std::vector<SqlRow>> run(const std::string& sql, std::initializer_list<SqlValue> values = {});

  // All or nothing. Rolled back unless committed.
  class Transaction {
   public:
    explicit Transaction(SqliteDatabase& database) : database_(&database) {}
    Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();
    absl::Status commit();

   private:
    SqliteDatabase* database_;
  };
  absl::StatusOr<Transaction> begin_write();  // at once the only writer, until its end
  absl::StatusOr<Transaction> begin_read();   // sees one state of the file throughout

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  absl::Status error(const std::string& what) const;

  std::string path_;
  std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace lockstep
