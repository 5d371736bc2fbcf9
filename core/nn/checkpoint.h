// SPDX-License-Identifier: Apache-2.0
// Training checkpoints in TensorFlow's tensor-bundle format: `model.ckpt-<step>.{index,data-00000-of-00001}` and the
// `checkpoint` text file that names them. docs/formats/checkpoint.md has the bytes.
//
// Variable names are TensorFlow's: `<var>`, `<var>/Adam` (first moment), `<var>/Adam_1` (second moment),
// `beta1_power`, `beta2_power`, `global_step`.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

// A float32 variable to be saved: a view, valid during the call it is passed to. An empty shape is a scalar.
struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const float> values;  // row-major, as many as the shape says
};

// What one checkpoint holds, in any order. `global_step` is written as the int64 scalar of that name: do not list it.
struct CheckpointData {
  int64_t global_step = 0;
  std::vector<CheckpointTensor> tensors;
};

// A checkpoint in memory, every CRC verified. Immutable; thread-safe.
class LoadedCheckpoint {
 public:
  // Path without `.index`, as the log should name it.
  const std::string& prefix() const { return prefix_; }
  int64_t global_step() const { return global_step_; }
  bool has(std::string_view name) const { return variables_.find(name) != variables_.end(); }
  // The float32 variables, in bytewise order.
  std::vector<std::string> names() const;
  // Copies variable `name` into `out`. NotFound names the nearest variable; InvalidArgument tells both shapes.
  absl::Status read(std::string_view name, std::span<const int64_t> shape, std::span<float> out) const;

 private:
  friend class CheckpointLoader;
  struct Variable {
    std::vector<int64_t> shape;
    std::vector<float> values;
  };
  std::string prefix_;
  int64_t global_step_ = 0;
  std::map<std::string, Variable, std::less<>> variables_;
};

// Loads one checkpoint. `path` may be the prefix (`out/model.ckpt-200`), any file of the set, or a directory (its
// newest checkpoint, no fallback). Nothing is returned unless the whole of it is sound.
absl::StatusOr<LoadedCheckpoint> load_checkpoint(const std::string& path);

struct LatestCheckpoint {
  std::optional<LoadedCheckpoint> checkpoint;  // empty: the directory holds none, start from the beginning
  // One line for each newer checkpoint that was passed over, with the reason. The caller logs them.
  std::vector<std::string> warnings;
};

// The newest sound checkpoint in `directory`: in the order of its `checkpoint` file, then, by step, those that the file
// does not name. A directory that does not exist holds none. When there are checkpoints but none is sound: DataLoss
// with every reason, because starting again from step 0 must be the user's decision. Reads only; thread-safe.
absl::StatusOr<LatestCheckpoint> latest_checkpoint(const std::string& directory);

// Writes checkpoints into one directory from a background thread and keeps the newest few. One manager per directory
// (rank 0). Not thread-safe: one thread calls it.
class CheckpointManager {
 public:
  // Makes the directory and removes what a killed run left half-written: temporary files and data without an index.
  // Requires keep >= 1.
  static absl::StatusOr<std::unique_ptr<CheckpointManager>> create(const std::string& output_dir, int keep = 5);
  // Waits for the write in flight. Call wait() before, to learn whether it succeeded.
  ~CheckpointManager();
  CheckpointManager(const CheckpointManager&) = delete;
  CheckpointManager& operator=(const CheckpointManager&) = delete;

  // Copies `data` (the snapshot; its buffers may change as soon as this returns) and starts writing it. While an
  // earlier write is in flight, waits for it first: at most one snapshot is in memory. Returns the error of that
  // earlier write, if it had one; the new one is then started all the same. After the bundle is safe on disk the
  // `checkpoint` file names it, and then those beyond `keep` are deleted (every `model.ckpt-<step>` of the directory
  // counts; index first; never the one just written). A step that is already there is replaced.
  absl::Status save_async(const CheckpointData& data);

  // Waits for the write in flight; returns its error, once.
  absl::Status wait();

  // latest_checkpoint() of this directory, after wait(); an error of a background write is kept for the next call.
  absl::StatusOr<LatestCheckpoint> latest();

 private:
  class Writer;
  explicit CheckpointManager(std::unique_ptr<Writer> writer);
  std::unique_ptr<Writer> writer_;
};

}  // namespace lockstep
