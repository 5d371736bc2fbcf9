// SPDX-License-Identifier: Apache-2.0
#include "io/records_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/file.h"
#include "io/example.h"
#include "io/idx_reader.h"
#include "io/read_ahead.h"
#include "io/tfrecord.h"

namespace lockstep {
namespace {

// Some images with their labels, in file order.
struct Piece {
  int64_t items = 0;
  std::vector<uint8_t> images;
  std::vector<uint8_t> labels;
};

// Inflates a pair of files on a thread of its own, so that encoding and writing cost no time beside it.
class PairStream {
 public:
  explicit PairStream(std::unique_ptr<IdxPairReader> pair)
      : pair_(std::move(pair)), pieces_(kPiecesAhead, std::bind_front(&PairStream::read_piece, this), pair_->path()) {}

  // Null after the last piece, when the ends of both files have been checked.
  absl::StatusOr<Piece*> next() { return pieces_.next(); }

 private:
  static constexpr int kPiecesAhead = 4;
  static constexpr int64_t kPieceBytes = 1 << 20;

  absl::StatusOr<bool> read_piece(Piece& piece) {
    const int64_t image_bytes = pair_->shape().size();
    piece.items = std::min(std::max<int64_t>(1, kPieceBytes / image_bytes), pair_->count() - read_);
    if (piece.items == 0) {
      LOCKSTEP_RETURN_IF_ERROR(pair_->finish());
      return false;
    }
    piece.images.resize(static_cast<size_t>(piece.items * image_bytes));
    piece.labels.resize(static_cast<size_t>(piece.items));
    LOCKSTEP_RETURN_IF_ERROR(pair_->read(piece.items, piece.images.data(), piece.labels.data()));
    read_ += piece.items;
    return true;
  }

  const std::unique_ptr<IdxPairReader> pair_;
  int64_t read_ = 0;
  ReadAhead<Piece> pieces_;  // last: its thread uses everything above
};

// One output file.
class ExampleWriter {
 public:
  static absl::StatusOr<ExampleWriter> create(const std::string& path, const ImageShape& shape) {
    LOCKSTEP_ASSIGN_OR_RETURN(TfRecordWriter writer, TfRecordWriter::create(path));
    return ExampleWriter(std::move(writer), shape);
  }

  // Appends items [first, last) of the piece.
  absl::Status append(const Piece& piece, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const auto* image = reinterpret_cast<const char*>(piece.images.data()) + i * shape_.size();
      payload_.clear();
      append_example(shape_, piece.labels[static_cast<size_t>(i)], {image, static_cast<size_t>(shape_.size())},
                     payload_);
      LOCKSTEP_RETURN_IF_ERROR(writer_.append(payload_));
    }
    return absl::OkStatus();
  }
  absl::Status commit() { return writer_.commit(); }

 private:
  ExampleWriter(TfRecordWriter writer, const ImageShape& shape) : writer_(std::move(writer)), shape_(shape) {}
  TfRecordWriter writer_;
  ImageShape shape_;
  std::string payload_;
};

class RecordsJob {
 public:
  explicit RecordsJob(const RecordsOptions& options) : options_(options) {}

  absl::StatusOr<RecordsSummary> run() {
    LOCKSTEP_ASSIGN_OR_RETURN(const IdxFiles files, resolve_idx_source(source_options()));
    LOCKSTEP_ASSIGN_OR_RETURN(auto train, extract(files.train_images, files.train_labels));
    LOCKSTEP_ASSIGN_OR_RETURN(auto test, extract(files.test_images, files.test_labels));
    LOCKSTEP_RETURN_IF_ERROR(check(files, *train, *test));
    const RecordsSummary summary{train->count() - options_.validation_size, options_.validation_size, test->count()};
    total_ = train->count() + test->count();
    LOCKSTEP_RETURN_IF_ERROR(write(std::move(train), std::move(test)));
    return summary;
  }

 private:
  IdxSourceOptions source_options() const {
    return {.source = options_.source,
            .cache_directory = join_path(options_.directory, "download"),
            .fall_back_to_mirrors = options_.fall_back_to_mirrors,
            .mirrors = options_.mirrors,
            .on_line = options_.on_line,
            .on_progress = options_.on_progress};
  }

  absl::StatusOr<std::unique_ptr<IdxPairReader>> extract(const std::string& images, const std::string& labels) const {
    options_.on_line(fmt::format("Extracting {}", images));
    options_.on_line(fmt::format("Extracting {}", labels));
    return IdxPairReader::open(images, labels, options_.classes);
  }

  absl::Status check(const IdxFiles& files, const IdxPairReader& train, const IdxPairReader& test) const {
    const ImageShape a = train.shape(), b = test.shape();
    if (a != b) {
      return absl::DataLossError(fmt::format("{} holds images of {}x{}x{}, but {} of {}x{}x{}: expected one size",
                                             files.train_images, a.height, a.width, a.depth, files.test_images,
                                             b.height, b.width, b.depth));
    }
    if (options_.validation_size < 0 || options_.validation_size >= train.count()) {
      return absl::InvalidArgumentError(
          fmt::format("validation size {} leaves no training image: {} holds {}, expected 0 to {}",
                      options_.validation_size, files.train_images, train.count(), train.count() - 1));
    }
    return absl::OkStatus();
  }

  absl::Status write(std::unique_ptr<IdxPairReader> train, std::unique_ptr<IdxPairReader> test) {
    const ImageShape shape = train->shape();
    LOCKSTEP_RETURN_IF_ERROR(make_directories(options_.directory));
    LOCKSTEP_ASSIGN_OR_RETURN(ExampleWriter train_out, create_output("train", shape));
    LOCKSTEP_ASSIGN_OR_RETURN(ExampleWriter validation_out, create_output("validation", shape));
    LOCKSTEP_ASSIGN_OR_RETURN(ExampleWriter test_out, create_output("test", shape));
    // Inflating takes longest, and no more than one core a file: the two pairs run side by side.
    auto test_done = std::async(std::launch::async, [this, &test, &test_out] {
      return stop_if_failed(write_test(PairStream(std::move(test)), test_out));
    });
    const absl::Status train_done =
        stop_if_failed(write_train(PairStream(std::move(train)), validation_out, train_out));
    LOCKSTEP_RETURN_IF_ERROR(first_failure(train_done, test_done.get()));
    LOCKSTEP_RETURN_IF_ERROR(train_out.commit());
    LOCKSTEP_RETURN_IF_ERROR(validation_out.commit());
    return test_out.commit();
  }

  absl::StatusOr<ExampleWriter> create_output(std::string_view name, const ImageShape& shape) const {
    const std::string path = join_path(options_.directory, fmt::format("{}.tfrecords", name));
    options_.on_line(fmt::format("Writing {}", path));
    return ExampleWriter::create(path, shape);
  }

  // What stopped because of the other's failure is not the reason.
  static absl::Status first_failure(const absl::Status& a, const absl::Status& b) {
    return a.ok() || absl::IsCancelled(a) ? (b.ok() ? a : b) : a;
  }

  absl::Status stop_if_failed(absl::Status status) {
    if (!status.ok()) failed_ = true;
    return status;
  }

  // The first validation_size images are the validation set.
  absl::Status write_train(PairStream stream, ExampleWriter& validation, ExampleWriter& train) {
    int64_t validation_left = options_.validation_size;
    while (true) {
      LOCKSTEP_ASSIGN_OR_RETURN(const Piece* piece, stream.next());
      if (piece == nullptr) return absl::OkStatus();
      const int64_t split = std::min(validation_left, piece->items);
      LOCKSTEP_RETURN_IF_ERROR(validation.append(*piece, 0, split));
      LOCKSTEP_RETURN_IF_ERROR(train.append(*piece, split, piece->items));
      validation_left -= split;
      LOCKSTEP_RETURN_IF_ERROR(advance(piece->items));
    }
  }

  absl::Status write_test(PairStream stream, ExampleWriter& test) {
    while (true) {
      LOCKSTEP_ASSIGN_OR_RETURN(const Piece* piece, stream.next());
      if (piece == nullptr) return absl::OkStatus();
      LOCKSTEP_RETURN_IF_ERROR(test.append(*piece, 0, piece->items));
      LOCKSTEP_RETURN_IF_ERROR(advance(piece->items));
    }
  }

  // Cancelled when the other pair has failed.
  absl::Status advance(int64_t items) {
    if (failed_) return absl::CancelledError("the other files failed");
    const std::lock_guard lock(mutex_);
    done_ += items;
    options_.on_progress(static_cast<double>(done_) / static_cast<double>(total_));
    return absl::OkStatus();
  }

  const RecordsOptions& options_;
  int64_t total_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // guards done_, and calls of on_progress
  int64_t done_ = 0;
};

}  // namespace

absl::StatusOr<RecordsSummary> create_records(const RecordsOptions& options) { return RecordsJob(options).run(); }

}  // namespace lockstep
