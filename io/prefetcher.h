// SPDX-License-Identifier: Apache-2.0
// Reads the batches of a training stream ahead. make_training_stream() in batch_source.h creates it.
#pragma once

#include <vector>

#include "io/batch_source.h"
#include "io/read_ahead.h"
#include "io/training_order.h"

namespace lockstep {

class Prefetcher : public BatchSource {
 public:
  // Requires a dataset that is not empty, and [first_example, first_example + examples) inside the global batch.
  Prefetcher(const Dataset& dataset, const TrainingStreamOptions& options);

  // OutOfRange after the batch of last_step - 1. A read error is returned in its place in the stream, and from then on.
  absl::StatusOr<const Batch*> next() override;

 private:
  absl::StatusOr<bool> read_batch(Batch& batch);

  const Dataset& dataset_;
  const TrainingStreamOptions options_;
  // Used by the reading thread alone:
  TrainingOrder order_;
  std::vector<int64_t> indices_;
  int64_t next_step_;

  ReadAhead<Batch> batches_;  // last: its thread uses everything above
};

}  // namespace lockstep
