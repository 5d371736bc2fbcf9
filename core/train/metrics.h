// SPDX-License-Identifier: Apache-2.0
// What a run tells the world while it trains (rank 0): log lines, the progress display, `metrics.jsonl`, and
// TensorBoard event files in output_dir and output_dir/eval. A file that cannot be written is reported once and does
// not stop the run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"
#include "core/train/evaluator.h"
#include "core/train/rank_usage.h"
#include "io/batch_source.h"
#include "io/event_writer.h"

namespace lockstep {

struct StepReport {
  int64_t step = 0;  // steps done
  double loss = 0;   // of the last step, mean over the global batch
  double learning_rate = 0;
  double steps_per_s = 0;
  double images_per_s = 0;
};

struct Progress {
  int64_t step = 0, last_step = 0;
  double steps_per_s = 0;
  int64_t batch = 0;
};

// "step 96 of 1100 (9 %)  2840 images/s  35 s left"
std::string progress_line(const Progress& progress);

class Metrics {
 public:
  // Makes the directories. A run that continues from `resume_step` drops what a killed run reported beyond it. Has it
  // nothing to train up to `last_step`, and was it evaluated there before, then this is a glance at a finished run: log
  // lines appear, but nothing is added to the files.
  static absl::StatusOr<std::unique_ptr<Metrics>> open(const std::string& output_dir, int64_t resume_step,
                                                       int64_t last_step);

  // The network for TensorBoard's Graphs panel, unless an earlier part of the run has written it.
  void add_graph(const ModelConfig& config, const Network& network);
  // "step=200 loss=0.0931 images_per_s=5120 …", and the same numbers as a line of metrics.jsonl.
  void log_step(const StepReport& report);
  // Points for TensorBoard's run ".".
  void summarize(const StepReport& report, const std::vector<RankUsage>& ranks);
  void add_histograms(int64_t step, const ParamTable& params, const float* weights);
  // Prints TensorFlow's "Saving dict for global step …" line; points and images of mistakes for the run "eval".
  void evaluation(int64_t step, const EvalResult& result, const Dataset& data);
  // One line on a terminal, at most ten times a second.
  void progress(const Progress& progress);

 private:
  explicit Metrics(std::string jsonl_path) : jsonl_path_(std::move(jsonl_path)) {}
  bool is_glance() const { return train_events_ == nullptr; }
  void append_json(const std::string& line);
  void add_mistakes(int64_t step, const EvalResult& result, const Dataset& data);
  void report(const absl::Status& status);

  std::string jsonl_path_;
  bool jsonl_failed_ = false;
  std::unique_ptr<EventWriter> train_events_, eval_events_;  // null at a glance
  double last_progress_s_ = 0;
};

// "accuracy = 0.9931, global_step = 10000, loss = 0.0315906", as TensorFlow's Estimator prints a result.
std::string saving_dict_line(int64_t step, const EvalResult& result);

}  // namespace lockstep
