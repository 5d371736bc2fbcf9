// SPDX-License-Identifier: Apache-2.0
// The kinds of Dataset that open_dataset() makes: in memory, in a temporary file, in the record files themselves.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "io/batch_source.h"
#include "io/row_store.h"

namespace lockstep {

// What every kind of data set knows once it has been checked.
struct DatasetFacts {
  int64_t size = 0;
  ImageShape shape;
  int label_count = 0;
  DatasetFingerprint fingerprint = {};
  std::string source;
};

// "28x28x1"
std::string shape_text(const ImageShape& shape);

// Where each record of a set of plain shards lies: 8 bytes a record.
struct RecordIndex {
  struct Shard {
    std::unique_ptr<RandomAccessFile> file;
    int64_t first_record = 0;
    std::vector<uint64_t> offsets;  // of each record, then the end of the last one
  };
  std::vector<Shard> shards;

  absl::Status open_shard(const std::string& path, int64_t first_record);
  void add_record_end(uint64_t offset) { shards.back().offsets.push_back(offset); }
  // The payload of record `index`, with its CRCs checked again. The result points into `scratch`.
  absl::StatusOr<std::string_view> read(int64_t index, std::string& scratch) const;
};

std::unique_ptr<Dataset> resident_dataset(DatasetFacts facts, std::vector<uint8_t> images, std::vector<int32_t> labels);
// Rows of the image followed by its label.
std::unique_ptr<Dataset> row_dataset(DatasetFacts facts, std::unique_ptr<RowStore> rows);
std::unique_ptr<Dataset> record_dataset(DatasetFacts facts, RecordIndex index);

}  // namespace lockstep
