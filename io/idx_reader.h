// SPDX-License-Identifier: Apache-2.0
// IDX files, the format of MNIST and its relatives: a big-endian header, then uint8 elements (docs/formats/idx.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "io/batch_source.h"
#include "io/gzip_reader.h"

namespace lockstep {

enum class IdxKind { kImages, kLabels };

// Streams the items (images or labels) of one IDX file, gzip-compressed or not. open() checks the header against the
// size of the file before anything is allocated. Not thread-safe.
class IdxReader {
 public:
  static constexpr int64_t kMaxSide = 1 << 16;
  static constexpr int64_t kMaxItemBytes = int64_t{1} << 28;

  static absl::StatusOr<std::unique_ptr<IdxReader>> open(const std::string& path, IdxKind kind);

  int64_t count() const { return count_; }
  // Of one image; {1, 1, 1} for labels. Three dimensions give depth 1, a fourth is the depth.
  ImageShape shape() const { return shape_; }
  const std::string& path() const { return stream_->path(); }

  // Reads the next `items` items into `out`. Requires that so many are left.
  absl::Status read(int64_t items, uint8_t* out);
  // After the last item: checks that the file ends here (and the gzip trailer with it).
  absl::Status finish();

 private:
  explicit IdxReader(std::unique_ptr<GzipReader> stream) : stream_(std::move(stream)) {}
  absl::Status read_header(IdxKind kind);
  absl::Status read_dimensions(IdxKind kind, int dimensions);
  absl::Status check_payload_fits() const;
  absl::Status read_exactly(size_t bytes, uint8_t* out, std::string_view what);

  std::unique_ptr<GzipReader> stream_;
  int64_t count_ = 0;
  int64_t items_read_ = 0;
  ImageShape shape_{1, 1, 1};
};

// An image file and its label file, read side by side; their counts must match.
class IdxPairReader {
 public:
  // Labels must be below `label_limit`; 0 accepts all 256.
  static absl::StatusOr<std::unique_ptr<IdxPairReader>> open(const std::string& images_path,
                                                             const std::string& labels_path, int label_limit);

  int64_t count() const { return images_->count(); }
  ImageShape shape() const { return images_->shape(); }
  const std::string& path() const { return images_->path(); }  // of the images
  // The next `items` pairs. images: (items, H, W, C); labels: (items).
  absl::Status read(int64_t items, uint8_t* images, uint8_t* labels);
  absl::Status finish();

 private:
  IdxPairReader() = default;
  std::unique_ptr<IdxReader> images_, labels_;
  int label_limit_ = 0;
  int64_t items_read_ = 0;
};

// `<directory>/<stem>` or the same with `.gz`, whichever exists; an error naming both when neither does.
absl::StatusOr<std::string> find_idx_file(const std::string& directory, std::string_view stem);

// The stems of the four files, as the MNIST distribution names them.
inline constexpr std::string_view kTrainImagesStem = "train-images-idx3-ubyte";
inline constexpr std::string_view kTrainLabelsStem = "train-labels-idx1-ubyte";
inline constexpr std::string_view kTestImagesStem = "t10k-images-idx3-ubyte";
inline constexpr std::string_view kTestLabelsStem = "t10k-labels-idx1-ubyte";

}  // namespace lockstep
