// SPDX-License-Identifier: Apache-2.0
// Times the trainer's own step (core/train/train_step.h) over made-up images held in memory: everything a step of
// mnist_train does but reading records, logging and checkpoints.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/bench_row.h"
#include "bench/fma_peak.h"
#include "core/base/status.h"
#include "core/base/thread_pool.h"
#include "core/nn/network.h"
#include "core/train/train_config.h"
#include "core/train/train_step.h"
#include "io/batch_source.h"
#include "mpi/communicator.h"

namespace lockstep {

// One part of a step: its time in each step, and the floating-point operations that count for it (0: none do).
struct Phase {
  std::string name;
  double flops = 0;  // per step, all ranks
  std::vector<double> seconds;
};

class TrainBench {
 public:
  // Collective. Of `config`, what a step depends on matters: model, train_batch_size, threads, seed, grad_slices, …
  static absl::StatusOr<std::unique_ptr<TrainBench>> create(Communicator& communicator, const TrainConfig& config);

  // Collective: `steps` training steps, each measured.
  absl::Status run_steps(int64_t steps);
  // Collective. An error when the loss has not fallen since the first step.
  absl::Status check_trained();
  // Both.
  absl::Status run(int64_t steps);
  // Forgets what was measured so far (warm-up).
  void discard();

  // Then a step's time is the host's, which keeps one step ahead of the GPU: right in the median of many.
  bool on_gpu() const { return accelerator_ != nullptr; }
  // Whether times mean anything: not on an emulated GPU, whose rows have none.
  bool keeps_time() const { return !on_gpu() || !accelerator_->library->emulated; }

  // Floating-point operations of one step over all ranks, counted as direct convolution.
  double flops_per_step() const;
  const std::vector<double>& step_seconds() const { return step_seconds_; }

  // The whole step, then its phases on this rank (on the CPU). `peak` is of all ranks' threads together.
  BenchRow step_row(const FmaPeak& peak) const;
  std::vector<BenchRow> phase_rows(const FmaPeak& peak) const;

 private:
  TrainBench(Communicator& communicator, const TrainConfig& config, Network network);
  void make_batches();
  void record_step(double seconds);
  void record_phase(const std::string& name, double flops, double seconds);
  BenchRow row(const std::string& bench, const std::string& name, const std::vector<double>& seconds, double flops,
               const FmaPeak& peak) const;

  Communicator& communicator_;
  const TrainConfig config_;
  const Network network_;
  ThreadPool pool_;
  std::unique_ptr<Accelerator> accelerator_;  // null: the CPU
  std::unique_ptr<TrainStep> step_;
  std::vector<Batch> batches_;
  std::vector<double> step_seconds_;
  std::vector<Phase> phases_;  // in the order of the step
  size_t next_phase_ = 0;
  double first_loss_ = 0;
};

}  // namespace lockstep
