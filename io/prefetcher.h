// SPDX-License-Identifier: Apache-2.0
// Reads the batches of a training stream ahead, on one thread, through a bounded queue. make_training_stream() in
// batch_source.h creates it.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "io/batch_source.h"
#include "io/training_order.h"

namespace lockstep {

class Prefetcher : public BatchSource {
 public:
  Prefetcher(const Dataset& dataset, const TrainingStreamOptions& options);
  // Stops after the batch that is being read, if any.
  ~Prefetcher() override;

  // OutOfRange after the batch of last_step - 1. A read error is returned in its place in the stream, and from then on.
  absl::StatusOr<const Batch*> next() override;

 private:
  void read_ahead();
  absl::Status read_batch(int64_t step, Batch& batch);
  bool take_free_batch(Batch* batch);
  bool deliver(Batch batch, const absl::Status& status);

  const Dataset& dataset_;
  const TrainingStreamOptions options_;
  TrainingOrder order_;           // reader thread only
  std::vector<int64_t> indices_;  // reader thread only
  Batch current_;                 // consumer only

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;  // guarded by mutex_, as all below
  std::vector<Batch> free_;  // buffers to use again; ready_ and free_ hold at most read_ahead together
  absl::Status end_;         // why no batch follows those in ready_; OK while reading goes on
  bool stop_ = false;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace lockstep
