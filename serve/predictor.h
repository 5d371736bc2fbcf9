// SPDX-License-Identifier: Apache-2.0
// A trained network that answers batches on the CPU. Everything is allocated when it is made, so that the latency of
// one image is that of the operators alone.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "core/base/status.h"
#include "core/base/thread_pool.h"
#include "core/nn/model.h"
#include "core/nn/network.h"
#include "core/nn/trained_model.h"
#include "io/batch_source.h"

namespace lockstep {

struct PredictorOptions {
  int64_t capacity = 100;  // most examples in one call
  int threads = 1;
};

// Thread-safe: calls take turns. For calls at the same time make several predictors of one model, which share its
// weights. An example's results are the same bits whatever its neighbours, the capacity and the number of threads.
class Predictor {
 public:
  // Checks that the model's weights are those of its network, and runs it once on zeros, so that the first real call
  // is as fast as any other.
  static absl::StatusOr<std::unique_ptr<Predictor>> create(std::shared_ptr<const TrainedModel> model,
                                                           const PredictorOptions& options);

  ImageShape input() const;
  int classes() const { return network_.classes(); }
  int64_t capacity() const { return model_.capacity(); }
  const TrainedModel& trained_model() const { return *trained_; }

  // 0 <= examples <= capacity(). `classes` gets the index of the largest logit, the first of equals. Numbers that
  // overflow float32 on their way spoil their own example alone. Allocates nothing, but for working memory of the
  // operators in the first call of a thread.
  absl::Status predict(int64_t examples,
                       const float* inputs,    // (examples, H, W, C)
                       int64_t* classes,       // (examples)
                       float* probabilities);  // (examples, classes())

 private:
  Predictor(std::shared_ptr<const TrainedModel> model, Network network, const PredictorOptions& options);

  const std::shared_ptr<const TrainedModel> trained_;
  const Network network_;
  std::mutex mutex_;  // guards what follows
  ThreadPool pool_;
  const KernelContext kernel_;
  Model model_;
};

}  // namespace lockstep
