// SPDX-License-Identifier: Apache-2.0
// TensorFlow's tensor bundle (checkpoint V2): `<prefix>.index`, a LevelDB table of tensor entries, and
// `<prefix>.data-00000-of-00001`, the raw little-endian bytes. docs/formats/checkpoint.md has the bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "io/tensor_dtype.h"

namespace lockstep {

// "(5, 5, 1, 32)"; "()" for a scalar.
std::string shape_text(std::span<const int64_t> shape);

// A numeric tensor to be written: a view.
struct BundleTensor {
  std::string name;
  TensorDtype dtype = TensorDtype::kFloat32;
  std::vector<int64_t> shape;
  std::string_view bytes;  // row-major, little-endian
};

// Views of values as the bytes of a BundleTensor.
inline std::string_view bytes_of(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}
inline std::string_view bytes_of(std::span<const int64_t> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

// Writes all of `tensors` (any order; data is laid out in bytewise name order, straight from the views) or nothing:
// data file, then index, each to a temporary name, fsynced, renamed, directory fsynced. The index is the commit point.
// Over an existing bundle: until the index is replaced, the old index meets new data, which its CRCs reveal.
absl::Status write_tensor_bundle(const std::string& prefix, std::vector<BundleTensor> tensors);

// One entry of an index.
struct BundleEntry {
  TensorDtype dtype = TensorDtype::kFloat32;
  std::vector<int64_t> shape;
  int shard = 0;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  uint32_t masked_crc = 0;
};

// The prefix of the bundle that `path` means: the prefix itself, any file of the set, a `checkpoint` file (the newest
// it names) or a directory that holds one of these or a SavedModel. NotFound says what was expected and what is there.
absl::StatusOr<std::string> bundle_prefix(const std::string& path);

// Prefixes of the bundles in a directory, without its name, sorted; none where it cannot be read.
std::vector<std::string> bundles_in(const std::string& directory);

// Immutable after open; thread-safe.
class TensorBundleReader {
 public:
  // `path`: as for bundle_prefix. Verifies the index whole: every block CRC, every entry, every range against the size
  // of its data file, no overlaps. Tensor bytes are verified when they are read.
  static absl::StatusOr<std::unique_ptr<TensorBundleReader>> open(const std::string& path);
  ~TensorBundleReader();

  const std::string& prefix() const;
  const std::map<std::string, BundleEntry, std::less<>>& entries() const;
  // NotFound names the nearest tensor.
  absl::StatusOr<const BundleEntry*> find(std::string_view name) const;

  // The bytes of a numeric tensor, CRC verified; `out` must have its size. On error `out` is undefined.
  absl::Status read_bytes(std::string_view name, std::span<char> out) const;
  // The same with a type check.
  absl::Status read(std::string_view name, std::span<float> out) const;
  // Hands the bytes of any tensor but a string or variant one to `visit`, in order, in pieces of at most 1 MiB that
  // hold whole elements; DataLoss when the CRC over all of them turns out wrong.
  absl::Status visit_bytes(std::string_view name, absl::FunctionRef<void(std::string_view piece)> visit) const;
  absl::StatusOr<std::vector<int64_t>> read_int64(std::string_view name) const;  // kInt64 or kInt32
  absl::StatusOr<std::vector<std::string>> read_strings(std::string_view name) const;

 private:
  struct Contents;
  explicit TensorBundleReader(std::unique_ptr<Contents> contents);
  std::unique_ptr<Contents> contents_;
};

}  // namespace lockstep
