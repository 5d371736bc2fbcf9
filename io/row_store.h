// SPDX-License-Identifier: Apache-2.0
// Rows of one size in a temporary file that has no name: gone with the process, whatever happens to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/base/file.h"
#include "core/base/status.h"

namespace lockstep {

// Append everything, then seal(), then read. read() is thread-safe.
class RowStore {
 public:
  // In $TMPDIR, or /tmp.
  static absl::StatusOr<std::unique_ptr<RowStore>> create(int64_t row_bytes);

  // Appends whole rows.
  absl::Status append(std::string_view rows);
  absl::Status seal();
  // Copies row `index` into `out`.
  absl::Status read(int64_t index, void* out) const;

  int64_t row_bytes() const { return row_bytes_; }

 private:
  explicit RowStore(int64_t row_bytes) : row_bytes_(row_bytes) {}

  const int64_t row_bytes_;
  std::unique_ptr<WritableFile> writer_;
  std::unique_ptr<RandomAccessFile> reader_;
};

}  // namespace lockstep
