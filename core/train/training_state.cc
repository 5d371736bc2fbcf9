// SPDX-License-Identifier: Apache-2.0
#include "core/train/training_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/log.h"
#include "core/train/agree.h"
#include "core/train/file_watch.h"

namespace lockstep {
namespace {

template <typename T>
std::span<T> values_of(const Param& param, T* flat) {
  return {flat + param.offset, static_cast<size_t>(param.size)};
}

// Whether any variable of Adam is there; then all must be.
bool holds_optimizer(const LoadedCheckpoint& checkpoint, const ParamTable& params) {
  const auto any = [&](const Param& param) {
    return checkpoint.has(param.name + "/Adam") || checkpoint.has(param.name + "/Adam_1");
  };
  return checkpoint.has("beta1_power") || checkpoint.has("beta2_power") ||
         std::any_of(params.params().begin(), params.params().end(), any);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingState>> TrainingState::open(Communicator& communicator, const ParamTable& params,
                                                                   const std::string& output_dir, int keep,
                                                                   double file_patience_s) {
  std::unique_ptr<TrainingState> state(new TrainingState(communicator, params, file_patience_s));
  absl::Status status;
  if (communicator.rank() == 0) {
    auto manager = CheckpointManager::create(output_dir, keep);
    status = manager.status();
    if (manager.ok()) state->manager_ = *std::move(manager);
  }
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator, status));
  return state;
}

absl::StatusOr<std::string> TrainingState::restore(TrainStep* step) {
  std::string prefix;
  absl::Status status;
  Scalars scalars;
  if (communicator_.rank() == 0) {
    auto loaded = load_on_rank_0(step, &scalars);
    status = loaded.status();
    if (loaded.ok()) prefix = *loaded;
  }
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator_, status));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto prefixes, communicator_.all_gather(prefix));
  prefix = prefixes[0];
  if (prefix.empty()) return prefix;
  LOCKSTEP_RETURN_IF_ERROR(spread(scalars, step));
  saved_step_ = step->next_step();
  return prefix;
}

// Rank 0's state becomes that of every rank.
absl::Status TrainingState::spread(Scalars scalars, TrainStep* step) {
  const size_t bytes = static_cast<size_t>(params_.buffer_size()) * sizeof(float);
  LOCKSTEP_ASSIGN_OR_RETURN(const HostState state, step->state_to_fill());
  LOCKSTEP_RETURN_IF_ERROR(communicator_.broadcast(&scalars, sizeof(scalars), 0));
  for (float* const buffer : {state.weights, state.first_moment, state.second_moment}) {
    LOCKSTEP_RETURN_IF_ERROR(communicator_.broadcast(buffer, bytes, 0));
  }
  LOCKSTEP_RETURN_IF_ERROR(step->restore(scalars.step, scalars.beta1_power, scalars.beta2_power));
  LOCKSTEP_ASSIGN_OR_RETURN(const float* const weights, step->host_weights());
  return check_same_on_all_ranks(communicator_, "the restored weights (SHA-256)", weights_sha256(params_, weights));
}

absl::Status TrainingState::begin_with(const float* weights, TrainStep* step) {
  LOCKSTEP_ASSIGN_OR_RETURN(const HostState state, step->state_to_fill());
  const auto size = static_cast<size_t>(params_.buffer_size());
  if (weights != nullptr) std::copy_n(weights, size, state.weights);
  std::fill_n(state.first_moment, size, 0.0f);
  std::fill_n(state.second_moment, size, 0.0f);
  return spread({step->next_step(), step->beta1_power(), step->beta2_power()}, step);
}

absl::StatusOr<std::string> TrainingState::load_on_rank_0(TrainStep* step, Scalars* scalars) {
  const FileWatch reading(communicator_, file_patience_s_);
  LOCKSTEP_ASSIGN_OR_RETURN(const LatestCheckpoint latest, manager_->latest());
  for (const std::string& warning : latest.warnings) LOG_WARNING("{}", warning);
  if (!latest.checkpoint) return std::string();
  LOCKSTEP_RETURN_IF_ERROR(annotate(copy_from(*latest.checkpoint, step, scalars), latest.checkpoint->prefix()));
  return latest.checkpoint->prefix();
}

absl::Status TrainingState::copy_from(const LoadedCheckpoint& checkpoint, TrainStep* step, Scalars* scalars) const {
  LOCKSTEP_ASSIGN_OR_RETURN(const HostState state, step->state_to_fill());
  scalars->step = checkpoint.global_step();
  for (const Param& param : params_.params()) {
    LOCKSTEP_RETURN_IF_ERROR(checkpoint.read(param.name, param.shape, values_of(param, state.weights)));
  }
  if (!holds_optimizer(checkpoint, params_)) {
    LOG_INFO("{} holds no variables of Adam, which begins anew", checkpoint.prefix());
    const auto size = static_cast<size_t>(params_.buffer_size());
    std::fill_n(state.first_moment, size, 0.0f);
    std::fill_n(state.second_moment, size, 0.0f);
    scalars->beta1_power = step->beta1_power();
    scalars->beta2_power = step->beta2_power();
    return absl::OkStatus();
  }
  for (const Param& param : params_.params()) {
    LOCKSTEP_RETURN_IF_ERROR(checkpoint.read(param.name + "/Adam", param.shape, values_of(param, state.first_moment)));
    LOCKSTEP_RETURN_IF_ERROR(
        checkpoint.read(param.name + "/Adam_1", param.shape, values_of(param, state.second_moment)));
  }
  LOCKSTEP_RETURN_IF_ERROR(checkpoint.read("beta1_power", {}, {&scalars->beta1_power, 1}));
  return checkpoint.read("beta2_power", {}, {&scalars->beta2_power, 1});
}

absl::Status TrainingState::save(TrainStep* step) {
  LOCKSTEP_RETURN_IF_ERROR(step->finish());
  const bool writer = communicator_.rank() == 0;
  if (writer && full_m_.size() == 0) {
    full_m_ = AlignedBuffer<float>(static_cast<size_t>(params_.buffer_size()));
    full_v_ = AlignedBuffer<float>(static_cast<size_t>(params_.buffer_size()));
  }
  LOCKSTEP_RETURN_IF_ERROR(step->gather_moments(full_m_.data(), full_v_.data()));
  saved_step_ = step->next_step();
  if (!writer) return absl::OkStatus();

  LOCKSTEP_ASSIGN_OR_RETURN(const float* const weights, step->host_weights());
  const float beta1_power = step->beta1_power(), beta2_power = step->beta2_power();
  CheckpointData data{.global_step = step->next_step(), .tensors = {}};
  for (const Param& param : params_.params()) {
    data.tensors.push_back({param.name, param.shape, values_of(param, weights)});
    data.tensors.push_back({param.name + "/Adam", param.shape, values_of(param, full_m_.data())});
    data.tensors.push_back({param.name + "/Adam_1", param.shape, values_of(param, full_v_.data())});
  }
  data.tensors.push_back({"beta1_power", {}, {&beta1_power, 1}});
  data.tensors.push_back({"beta2_power", {}, {&beta2_power, 1}});
  const FileWatch waiting_for_an_earlier_write(communicator_, file_patience_s_);
  const absl::Status earlier = manager_->save_async(data);
  if (!earlier.ok()) LOG_ERROR("a checkpoint was not written: {}", std::string(earlier.message()));
  return absl::OkStatus();
}

absl::Status TrainingState::finish() {
  absl::Status written;
  if (manager_ != nullptr) {
    const FileWatch writing(communicator_, file_patience_s_);
    written = manager_->wait();
  }
  return agree(communicator_, written);
}

}  // namespace lockstep
