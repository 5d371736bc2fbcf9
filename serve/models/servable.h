// SPDX-License-Identifier: Apache-2.0
// One version of a model that answers predictions: loaded, checked and warmed. Requests that arrive while the model
// runs form the next pass, so that a lone request never waits for company.
//
// Its signatures, "serving_default" and "prediction", are those of an exported model: input "inputs" float
// [-1, H * W * C], outputs "classes" int64 [-1] and "probabilities" float [-1, classes].
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/nn/model_config.h"
#include "io/batch_source.h"

namespace lockstep {

// Of the pass, or the last of the passes, that answered a request.
struct PredictTimes {
  int64_t queue_us = 0;        // from predict() until its first pass began
  int64_t run_us = 0;          // of all its passes
  int64_t batch_examples = 0;  // in the pass, those of other requests among them
};

struct PredictAnswer {
  std::vector<int64_t> classes;      // (examples)
  std::vector<float> probabilities;  // (examples, classes)
  PredictTimes times;
};

struct PredictTask {
  std::vector<float> inputs;  // (examples, H, W, C), in [0, 1]
  int64_t examples = 0;
  // DeadlineExceeded when it has not begun by then.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  // Called exactly once, on a thread of the servable or, with an error, on that of the caller. Must not block.
  std::function<void(absl::StatusOr<PredictAnswer>)> done;
};

struct ServableOptions {
  int threads = 1;  // of a pass
  // Examples in one pass; a larger request is cut into passes, which take turns with other requests. So many that the
  // weights, which come from memory for each pass, do not matter; not more, as requests that come wait for a whole pass
  // (8 ms on two cores with the reference network).
  int64_t max_batch_size = 224;
  int64_t max_queue_examples = 4096;  // waiting; beyond, requests are turned away
};

// Which version: model, number, and the name that Cloud ML Engine knows it by ("" for none).
struct ServableId {
  std::string model;
  int64_t version = 0;
  std::string label;
};

// Thread-safe. Whoever holds the pointer may use it, also after the store has let go of it.
class Servable {
 public:
  // Loads what load_trained_model() takes, and runs it on zeros. Takes a second or less; nothing of it is shared with
  // other versions. An error of `verify`, if there is one, keeps it from being read; both run at a low priority.
  static absl::StatusOr<std::shared_ptr<Servable>> load(const ServableId& id, const std::string& path,
                                                        const ServableOptions& options,
                                                        const std::function<absl::Status()>& verify = nullptr);
  // Waits for the tasks that it was given.
  virtual ~Servable() = default;

  virtual const ServableId& id() const = 0;
  virtual const std::string& path() const = 0;  // as given to load()
  virtual ImageShape input() const = 0;
  virtual int classes() const = 0;
  virtual const ModelConfig& config() const = 0;
  virtual int64_t global_step() const = 0;
  // Requests that have not been answered yet.
  virtual int64_t running() const = 0;

  // Never blocks. Unavailable through `done` when the queue is full; InvalidArgument when the sizes disagree.
  virtual void predict(PredictTask task) = 0;
};

}  // namespace lockstep
