// SPDX-License-Identifier: Apache-2.0
#include "io/tensor_bundle.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <leveldb/env.h>
#include <leveldb/options.h>
#include <leveldb/table_builder.h>

#include <algorithm>
#include <bit>

#include "io/crc32c.h"
#include "io/proto/tensor_bundle.pb.h"
#include "io/tensor_bundle_names.h"

namespace lockstep {
namespace {

// The data file is copied as it lies in memory.
static_assert(std::endian::native == std::endian::little);

// Lets LevelDB write to an AtomicFile; keeps the first error with its message.
class TableFile : public leveldb::WritableFile {
 public:
  explicit TableFile(AtomicFile* file) : file_(file) {}
  leveldb::Status Append(const leveldb::Slice& data) override {
    if (status_.ok()) status_ = file_->append({data.data(), data.size()});
    return status_.ok() ? leveldb::Status::OK() : leveldb::Status::IOError(std::string(status_.message()));
  }
  // AtomicFile::commit() does all of these, once.
  leveldb::Status Close() override { return leveldb::Status::OK(); }
  leveldb::Status Flush() override { return leveldb::Status::OK(); }
  leveldb::Status Sync() override { return leveldb::Status::OK(); }
  const absl::Status& status() const { return status_; }

 private:
  AtomicFile* const file_;
  absl::Status status_;
};

absl::Status check_tensor(const BundleTensor& tensor) {
  const auto elements = element_count(tensor.shape);
  const int element_bytes = dtype_size(tensor.dtype);
  if (tensor.name.empty() || element_bytes == 0 || !elements ||
      *elements * static_cast<uint64_t>(element_bytes) != tensor.bytes.size()) {
    return absl::InvalidArgumentError(fmt::format("tensor `{}`: {} {} does not fit {} bytes", tensor.name,
                                                  dtype_name(tensor.dtype), shape_text(tensor.shape),
                                                  tensor.bytes.size()));
  }
  return absl::OkStatus();
}

absl::Status check_tensors(const std::vector<BundleTensor>& sorted) {
  for (size_t i = 0; i < sorted.size(); ++i) {
    LOCKSTEP_RETURN_IF_ERROR(check_tensor(sorted[i]));
    if (i > 0 && sorted[i].name == sorted[i - 1].name) {
      return absl::InvalidArgumentError(fmt::format("tensor `{}` is listed twice", sorted[i].name));
    }
  }
  return absl::OkStatus();
}

absl::Status write_data(const std::string& path, const std::vector<BundleTensor>& tensors) {
  LOCKSTEP_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  for (const BundleTensor& tensor : tensors) LOCKSTEP_RETURN_IF_ERROR(file.append(tensor.bytes));
  return file.commit();
}

std::string header_value() {
  proto::BundleHeaderProto header;
  header.set_num_shards(1);
  header.set_endianness(proto::BundleHeaderProto::LITTLE);
  header.mutable_version()->set_producer(1);
  return header.SerializeAsString();
}

std::string entry_value(const BundleTensor& tensor, uint64_t offset) {
  proto::BundleEntryProto entry;
  entry.set_dtype(static_cast<proto::DataType>(tensor.dtype));
  auto* shape = entry.mutable_shape();  // present even when empty: a scalar
  for (const int64_t size : tensor.shape) shape->add_dim()->set_size(size);
  entry.set_offset(static_cast<int64_t>(offset));
  entry.set_size(static_cast<int64_t>(tensor.bytes.size()));
  entry.set_crc32c(masked_crc32c(tensor.bytes));
  return entry.SerializeAsString();
}

absl::Status write_index(const std::string& path, const std::vector<BundleTensor>& tensors) {
  LOCKSTEP_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  leveldb::Options options;  // as TensorFlow's table writer sets them; readers before TF 1.1 have no snappy
  options.compression = leveldb::kNoCompression;
  options.block_size = 262144;
  options.block_restart_interval = 16;
  TableFile table_file(&file);
  leveldb::TableBuilder builder(options, &table_file);
  builder.Add("", header_value());
  uint64_t offset = 0;
  for (const BundleTensor& tensor : tensors) {
    builder.Add(tensor.name, entry_value(tensor, offset));
    offset += tensor.bytes.size();
  }
  if (const leveldb::Status status = builder.Finish(); !status.ok()) {
    return table_file.status().ok() ? absl::InternalError(fmt::format("{}: {}", path, status.ToString()))
                                    : table_file.status();
  }
  return file.commit();
}

}  // namespace

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("({})", fmt::join(shape, ", ")); }

absl::Status write_tensor_bundle(const std::string& prefix, std::vector<BundleTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const BundleTensor& a, const BundleTensor& b) { return a.name < b.name; });
  LOCKSTEP_RETURN_IF_ERROR(check_tensors(tensors));
  LOCKSTEP_RETURN_IF_ERROR(write_data(bundle_data_path(prefix, 0, 1), tensors));
  return write_index(bundle_index_path(prefix), tensors);
}

}  // namespace lockstep
