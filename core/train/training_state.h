// SPDX-License-Identifier: Apache-2.0
// Between a TrainStep spread over the ranks and checkpoints on rank 0's disk.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/aligned_buffer.h"
#include "core/base/status.h"
#include "core/nn/checkpoint.h"
#include "core/nn/param_table.h"
#include "core/train/train_step.h"
#include "mpi/communicator.h"

namespace lockstep {

class TrainingState {
 public:
  // Collective. Rank 0 opens (and makes) `output_dir`; the others need not see it. Borrows everything.
  // `file_patience_s`: see FileWatch.
  static absl::StatusOr<std::unique_ptr<TrainingState>> open(Communicator& communicator, const ParamTable& params,
                                                             const std::string& output_dir, int keep,
                                                             double file_patience_s = 0);

  // Collective. Continues from the newest sound checkpoint, on every rank; "" when there is none, else its prefix. Rank
  // 0 logs the checkpoints that were passed over, and why. Afterwards the weights' hash is equal on all ranks. A
  // checkpoint without Adam's variables (an imported one) gives weights and step; Adam then begins anew.
  absl::StatusOr<std::string> restore(TrainStep* step);

  // Collective, at the start of a run: begins with these weights (of rank 0; others pass null) instead of the seed's.
  absl::Status begin_with(const float* weights, TrainStep* step);

  // Collective. Snapshots weights and moments; rank 0 writes them in the background. Waits for the weights'
  // all-gathers. A failed write of an earlier checkpoint is logged, not returned: training is worth more than the
  // checkpoint.
  absl::Status save(TrainStep* step);

  // Collective. Waits for the last write and returns its error on every rank.
  absl::Status finish();

  int64_t saved_step() const { return saved_step_; }

 private:
  TrainingState(Communicator& communicator, const ParamTable& params, double file_patience_s)
      : communicator_(communicator), params_(params), file_patience_s_(file_patience_s) {}
  // What a checkpoint holds besides flat buffers; sent between ranks as it is.
  struct Scalars {
    int64_t step = 0;
    float beta1_power = 0, beta2_power = 0;
  };
  absl::StatusOr<std::string> load_on_rank_0(TrainStep* step, Scalars* scalars);
  absl::Status copy_from(const LoadedCheckpoint& checkpoint, TrainStep* step, Scalars* scalars) const;
  absl::Status spread(Scalars scalars, TrainStep* step);

  Communicator& communicator_;
  const ParamTable& params_;
  const double file_patience_s_;
  std::unique_ptr<CheckpointManager> manager_;  // rank 0
  AlignedBuffer<float> full_m_, full_v_;        // rank 0: the moments of all shards
  int64_t saved_step_ = -1;
};

}  // namespace lockstep
