// SPDX-License-Identifier: Apache-2.0
// What the trainer and the evaluator read from: labelled uint8 images of one size.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "io/read_patience.h"

namespace lockstep {

struct ImageShape {
  int height = 0, width = 0, depth = 0;
  int64_t size() const { return int64_t{height} * width * depth; }
  bool operator==(const ImageShape&) const = default;
};

// What a set holds, in eight bytes: equal for equal examples in equal order, whatever files and formats they come from.
// Tells other data by chance, not by malice: a CRC is no signature.
struct DatasetFingerprint {
  uint32_t images_crc32c = 0;  // of all images, one after the other
  uint32_t labels_crc32c = 0;  // of all labels, each as little-endian int32
  bool operator==(const DatasetFingerprint&) const = default;
};

// Random access to a finite, immutable set of examples. Thread-safe.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual ImageShape shape() const = 0;
  // Highest label plus one, found while the data was checked.
  virtual int label_count() const = 0;
  // Likewise.
  virtual DatasetFingerprint fingerprint() const = 0;
  // "resident" or "streamed", and from what: for the log.
  virtual std::string describe() const = 0;
  // Copies the examples with these indices, in this order. images: (indices.size(), H, W, C), labels: (indices.size()).
  virtual absl::Status read(std::span<const int64_t> indices, uint8_t* images, int32_t* labels) const = 0;
};

struct DatasetOptions {
  // Sets whose decoded size is at most this stay in memory as uint8; larger ones are read from disk as needed.
  int64_t memory_limit_bytes = int64_t{1} << 30;
  // Labels must be below this; 0 accepts any label from 0 to 2^31 - 1.
  int label_limit = 0;
};

enum class Split { kTrain, kValidation, kTest };
std::string_view split_name(Split split);

// Opens a split of a data directory: `<split>*.tfrecords*` (plain, .gz or .zlib, one file or many shards in name
// order), or, where there are none, the four raw IDX files (`train-images-idx3-ubyte[.gz]`, …; kTrain is then all
// training images, kTest the t10k files). Every CRC, length, shape and label is checked here. Errors name file and
// offset.
absl::StatusOr<std::unique_ptr<Dataset>> open_dataset(const std::string& directory, Split split,
                                                      const DatasetOptions& options);

// One batch of examples in a stable order.
struct Batch {
  int64_t step = 0;
  std::vector<uint8_t> images;  // (examples, H, W, C)
  std::vector<int32_t> labels;  // (examples)
  int64_t examples() const { return static_cast<int64_t>(labels.size()); }
};

// Batches for consecutive steps, read ahead. One consumer thread.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // The batch of the next step; waits for the reader thread. The previous batch becomes invalid.
  virtual absl::StatusOr<const Batch*> next() = 0;
};

// The indices of positions [begin, end) of the endless training stream: position p is element p mod n of the
// permutation of epoch p / n, a function of (seed, epoch) alone. shuffle = false: file order.
std::vector<int64_t> training_order(int64_t begin, int64_t end, int64_t examples, uint64_t seed, bool shuffle);

struct TrainingStreamOptions {
  int64_t first_step = 0;  // a resumed run continues here
  int64_t last_step = 0;   // exclusive: no reading past it
  int64_t global_batch = 100;
  int64_t first_example = 0;  // this rank's part of each global batch: [first_example, first_example + examples)
  int64_t examples = 100;
  uint64_t seed = 0;
  bool shuffle = true;
  int read_ahead = 4;  // batches
  ReadPatience patience = {};
};

// A prefetch thread over `dataset` (borrowed). Step s covers positions [s * global_batch, (s + 1) * global_batch).
std::unique_ptr<BatchSource> make_training_stream(const Dataset& dataset, const TrainingStreamOptions& options);

}  // namespace lockstep
