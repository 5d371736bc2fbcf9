// SPDX-License-Identifier: Apache-2.0
// The training run of one rank.
#pragma once

#include <cstdint>
#include <memory>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/train/metrics.h"
#include "core/train/run_clock.h"
#include "core/train/train_config.h"
#include "core/train/train_setup.h"
#include "core/train/train_step.h"
#include "core/train/training_state.h"
#include "core/train/warm_start.h"
#include "mpi/communicator.h"

namespace lockstep {

class Trainer {
 public:
  // Collective. Opens data and network, continues from output_dir if it holds checkpoints. After an error for which
  // is_agreed() is false the caller must abort the job: other ranks may be waiting.
  static absl::StatusOr<std::unique_ptr<Trainer>> create(Communicator& communicator, const TrainConfig& config);

  // Collective. Trains to train_steps, with checkpoints and evaluations on the way and one of each at the end, then
  // writes run.json and the SavedModel. A stop signal on any rank ends the run after the current step with a
  // checkpoint, and OK.
  absl::Status run();

 private:
  Trainer(Communicator& communicator, std::unique_ptr<TrainSetup> setup)
      : communicator_(communicator), setup_(std::move(setup)), config_(setup_->config) {}

  bool is_rank_0() const { return communicator_.rank() == 0; }
  absl::Status start();
  absl::Status enter_directory();
  absl::Status load_warm_start_weights();
  absl::Status begin_warm(const std::string& resumed_prefix);
  void log_start(const std::string& resumed_prefix) const;
  ReadPatience read_patience();
  absl::Status train_one_step();
  uint32_t vote() const;
  absl::Status report_step();
  absl::Status save_checkpoint();
  absl::Status check_weights();
  absl::Status run_evaluation();
  absl::Status leave_early();
  absl::Status finish();
  absl::Status write_summary();
  absl::Status export_model();
  StepReport step_report(double loss);
  double steps_per_s() const;  // of this process so far

  Communicator& communicator_;
  const std::unique_ptr<TrainSetup> setup_;
  const TrainConfig& config_;
  std::unique_ptr<TrainStep> step_;
  std::unique_ptr<TrainingState> state_;
  std::unique_ptr<Metrics> metrics_;  // rank 0
  std::unique_ptr<BatchSource> stream_;
  UsageSampler usage_;
  DirectoryLock directory_lock_;  // rank 0: two runs in one directory would mix their checkpoints
  RunClock clock_;
  EvalResult last_evaluation_;
  WarmStart warm_start_;  // rank 0, with --warm_start; its weights until they are in use

  int64_t first_step_ = 0;        // where this process started
  int64_t reported_step_ = 0;     // of the last report
  double reported_s_ = 0;         // training seconds then
  double last_checkpoint_s_ = 0;  // wall seconds
  bool stopping_ = false;
};

}  // namespace lockstep
