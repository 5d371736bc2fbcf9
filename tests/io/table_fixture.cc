// SPDX-License-Identifier: Apache-2.0
#include "tests/io/table_fixture.h"

#include <leveldb/env.h>
#include <leveldb/options.h>
#include <leveldb/table_builder.h>

#include "core/base/check.h"

namespace lockstep {
namespace {

struct StringFile : leveldb::WritableFile {
  std::string contents;
  leveldb::Status Append(const leveldb::Slice& data) override {
    contents.append(data.data(), data.size());
    return leveldb::Status::OK();
  }
  leveldb::Status Close() override { return leveldb::Status::OK(); }
  leveldb::Status Flush() override { return leveldb::Status::OK(); }
  leveldb::Status Sync() override { return leveldb::Status::OK(); }
};

}  // namespace

std::string make_table(const std::vector<std::pair<std::string, std::string>>& entries, const TableFixture& fixture) {
  leveldb::Options options;
  options.compression = fixture.snappy ? leveldb::kSnappyCompression : leveldb::kNoCompression;
  options.block_size = fixture.block_bytes;
  options.block_restart_interval = fixture.restart_interval;
  StringFile file;
  leveldb::TableBuilder builder(options, &file);
  for (const auto& [key, value] : entries) builder.Add(key, value);
  LOCKSTEP_CHECK(builder.Finish().ok());
  return file.contents;
}

}  // namespace lockstep
