// SPDX-License-Identifier: Apache-2.0
// TensorBoard event files. docs/formats/events.md has the bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct EventWriterOptions {
  // Step of the checkpoint this run continues from. If > 0, or if the directory holds event files already (of a run
  // that was killed before its first checkpoint), a session START event at the step after it makes TensorBoard drop the
  // points beyond it that the earlier run has left; those up to it stay.
  int64_t resume_step = 0;
};

// Appends to one new file `events.out.tfevents.<seconds>.<host>` (plus `.<pid>.<n>` when that name is taken) in
// `directory`. TensorBoard shows each directory as one run, so: one writer per directory, `eval/` for evaluation.
//
// Thread-safe: calls are serialised by a mutex. Every call is one write batch, flushed before it returns. Errors do
// not stop a run: the first failing call returns the reason, later calls do nothing and return OK.
class EventWriter {
 public:
  // Makes the directory.
  static absl::StatusOr<std::unique_ptr<EventWriter>> open(const std::string& directory,
                                                           const EventWriterOptions& options = {});
  ~EventWriter();

  const std::string& path() const;
  // Whether the directory held event files before: TensorBoard shows them and this one as one run.
  bool continues() const;

  absl::Status add_scalar(int64_t step, std::string_view tag, float value);
  // All in one event, as Estimator does.
  absl::Status add_scalars(int64_t step, std::span<const std::pair<std::string, float>> values);
  // Buckets with TensorFlow's default limits, empty outermost ones left out. Non-finite values are not counted; a tag
  // without finite values writes nothing.
  absl::Status add_histogram(int64_t step, std::string_view tag, std::span<const float> values);
  // `pixels`: (height, width, channels) uint8, channels 1 (grey) or 3 (RGB); stored as PNG.
  absl::Status add_image(int64_t step, std::string_view tag, std::span<const uint8_t> pixels, int height, int width,
                         int channels);
  // A serialised GraphDef, for the Graphs panel. Once a directory: a second graph replaces the first, with a warning.
  absl::Status add_graph(std::string_view graph_def);

 private:
  struct State;
  explicit EventWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lockstep
