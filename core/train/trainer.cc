// SPDX-License-Identifier: Apache-2.0
#include "core/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/file.h"
#include "core/base/host_info.h"
#include "core/base/log.h"
#include "core/base/version.h"
#include "core/train/agree.h"
#include "core/train/file_watch.h"
#include "core/train/lr_schedule.h"
#include "core/train/memory_plan.h"
#include "core/train/run_directory.h"
#include "core/train/run_export.h"
#include "core/train/run_summary.h"
#include "core/train/stop_signal.h"

namespace lockstep {
namespace {

enum Vote : uint32_t { kVoteStop = 1, kVoteCheckpoint = 2 };

bool is_due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

// "simd (AVX3)", "cuda (NVIDIA H100 80GB HBM3 (sm_90), fp32)"
std::string backend_text(const TrainSetup& setup) {
  if (setup.accelerator != nullptr) {
    return fmt::format("{} ({}, {})", backend_name(setup.accelerator->backend), setup.accelerator->device->name(),
                       setup.config.precision);
  }
  const std::string name(backend_name(setup.kernel.backend));
  return setup.kernel.backend == Backend::kSimd ? fmt::format("{} ({})", name, simd_target_name()) : name;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::create(Communicator& communicator, const TrainConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(auto setup, set_up_training(communicator, config));
  std::unique_ptr<Trainer> trainer(new Trainer(communicator, std::move(setup)));
  LOCKSTEP_RETURN_IF_ERROR(trainer->start());
  return trainer;
}

absl::Status Trainer::start() {
  TrainSetup& setup = *setup_;
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator_, is_rank_0() ? enter_directory() : absl::OkStatus()));
  LOCKSTEP_ASSIGN_OR_RETURN(
      step_, TrainStep::create(communicator_, setup.network, config_, setup.kernel, setup.accelerator.get(),
                               model_capacity(config_, communicator_.rank(), communicator_.size())));
  LOCKSTEP_ASSIGN_OR_RETURN(
      state_, TrainingState::open(communicator_, setup.network.params(), config_.output_dir,
                                  static_cast<int>(config_.keep_checkpoint_max), FileWatch::patience_s(config_)));
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string resumed_prefix, state_->restore(step_.get()));
  if (!config_.warm_start.empty()) LOCKSTEP_RETURN_IF_ERROR(begin_warm(resumed_prefix));
  first_step_ = reported_step_ = step_->next_step();
  absl::Status status;
  if (is_rank_0()) {
    status = write_run_files(config_, setup.model_config, run_data(*setup.train_data, *setup.test_data),
                             resumed_prefix.empty() ? std::optional(warm_start_.weights_sha256) : std::nullopt);
    auto metrics = Metrics::open(config_.output_dir, first_step_, config_.train_steps);
    if (status.ok()) status = metrics.status();
    if (metrics.ok()) metrics_ = *std::move(metrics);
    if (metrics_) metrics_->add_graph(setup.model_config, setup.network);
  }
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator_, status));
  log_start(resumed_prefix);
  const int rank = communicator_.rank(), ranks = communicator_.size();
  stream_ =
      make_training_stream(*setup.train_data, {.first_step = first_step_,
                                               .last_step = std::max(first_step_, config_.train_steps),
                                               .global_batch = config_.train_batch_size,
                                               .first_example = TrainStep::local_first_example(config_, rank, ranks),
                                               .examples = TrainStep::local_examples(config_, rank, ranks),
                                               .seed = static_cast<uint64_t>(config_.seed),
                                               .shuffle = config_.shuffle,
                                               .patience = read_patience()});
  return communicator_.barrier("start of training");
}

// While the reader is waited for, this rank is alive; the reader's own limit bounds that.
ReadPatience Trainer::read_patience() {
  return {.timeout_s = file_timeout_s(config_), .on_wait = [this](double idle_s) {
            constexpr double kStopSeconds = 2;  // whoever asked us to stop will not wait for much longer
            communicator_.note_progress();
            if (stop_signal() == 0 || idle_s < kStopSeconds) return absl::OkStatus();
            return absl::DeadlineExceededError(fmt::format("{}, while no batch came from {}", strsignal(stop_signal()),
                                                           setup_->train_data->describe()));
          }};
}

absl::Status Trainer::enter_directory() {
  LOCKSTEP_RETURN_IF_ERROR(make_directories(config_.output_dir));
  LOCKSTEP_ASSIGN_OR_RETURN(directory_lock_, DirectoryLock::acquire(config_.output_dir));
  LOCKSTEP_RETURN_IF_ERROR(load_warm_start_weights());
  return check_continues_run(config_, setup_->model_config, run_data(*setup_->train_data, *setup_->test_data),
                             warm_start_.weights_sha256);
}

// On a resume too: the weights are part of what the run is.
absl::Status Trainer::load_warm_start_weights() {
  if (config_.warm_start.empty()) return absl::OkStatus();
  const FileWatch reading(communicator_, FileWatch::patience_s(config_));
  LOCKSTEP_ASSIGN_OR_RETURN(warm_start_, load_warm_start(config_.warm_start, setup_->model_config, setup_->network));
  for (const std::string& warning : warm_start_.warnings) LOG_WARNING("--warm_start: {}", warning);
  return absl::OkStatus();
}

// Collective.
absl::Status Trainer::begin_warm(const std::string& resumed_prefix) {
  if (resumed_prefix.empty()) {
    LOCKSTEP_RETURN_IF_ERROR(state_->begin_with(is_rank_0() ? warm_start_.weights.data() : nullptr, step_.get()));
    LOG_INFO("beginning with the weights of {} (SHA-256 {})", warm_start_.description, warm_start_.weights_sha256);
  } else {
    LOG_INFO("--warm_start={} is not used: {} has a checkpoint already", config_.warm_start, config_.output_dir);
  }
  warm_start_.weights = {};
  return absl::OkStatus();
}

void Trainer::log_start(const std::string& resumed_prefix) const {
  std::string settings;
  for (const TrainOption& option : train_options()) {
    settings += fmt::format(" {}={}", option.name, option_text(config_, option));
  }
  LOG_INFO("mnist_train {} config:{}", kVersion, settings);
  LOG_INFO("backend={} cpu=\"{}\" ranks={} threads={} transport={} grad_slices={}", backend_text(*setup_), cpu_model(),
           communicator_.size(), config_.threads, step_->transport(), config_.grad_slices);
  if (setup_->accelerator != nullptr) {
    LOG_INFO("gpu={} library=\"{}\" cuda_graph={}", setup_->accelerator->index,
             setup_->accelerator->library->description, config_.cuda_graph);
  }
  LOG_INFO("train: {} examples, {}", setup_->train_data->size(), setup_->train_data->describe());
  LOG_INFO("test: {} examples, {}", setup_->test_data->size(), setup_->test_data->describe());
  LOG_INFO("model: {}, {} parameters, {:.2f} MFLOP an image and step", config_.model,
           setup_->network.params().parameter_count(), setup_->network.train_flops() / 1e6);
  if (!resumed_prefix.empty()) LOG_INFO("resuming from {} at step {}", resumed_prefix, first_step_);
  if (first_step_ > config_.train_steps) {
    LOG_INFO("nothing is left to train: the run is at step {}, --train_steps={} ends before that", first_step_,
             config_.train_steps);
  }
}

absl::Status Trainer::run() {
  reported_s_ = clock_.training_seconds();
  last_checkpoint_s_ = clock_.wall_seconds();
  while (step_->next_step() < config_.train_steps && !stopping_) {
    LOCKSTEP_RETURN_IF_ERROR(train_one_step());
    const int64_t step = step_->next_step();
    if (is_due(step, config_.log_step_count_steps) || is_due(step, config_.save_summary_steps)) {
      LOCKSTEP_RETURN_IF_ERROR(report_step());
    }
    stopping_ = (step_->control() & kVoteStop) != 0;
    const bool checkpoint = (step_->control() & kVoteCheckpoint) != 0 || is_due(step, config_.save_checkpoints_steps);
    if (checkpoint && !stopping_ && step < config_.train_steps) {
      LOCKSTEP_RETURN_IF_ERROR(save_checkpoint());
      LOCKSTEP_RETURN_IF_ERROR(run_evaluation());
    }
    if (metrics_) metrics_->progress({step, config_.train_steps, steps_per_s(), config_.train_batch_size});
  }
  return step_->next_step() < config_.train_steps ? leave_early() : finish();
}

absl::Status Trainer::train_one_step() {
  const Batch* batch = nullptr;
  {
    ScopedTimer timer(&step_->times().input_s);
    auto next = stream_->next();
    if (absl::IsDeadlineExceeded(next.status())) {
      return annotate(next.status(), fmt::format("training data (--file_timeout_secs={:g})", file_timeout_s(config_)));
    }
    LOCKSTEP_ASSIGN_OR_RETURN(batch, std::move(next));
  }
  return step_->run(*batch, vote());
}

uint32_t Trainer::vote() const {
  uint32_t vote = 0;
  if (stop_signal() != 0) vote |= kVoteStop;
  const bool rank_0_time_up =
      is_rank_0() && config_.save_checkpoints_secs > 0 &&
      clock_.wall_seconds() - last_checkpoint_s_ >= static_cast<double>(config_.save_checkpoints_secs);
  if (rank_0_time_up) vote |= kVoteCheckpoint;
  return vote;
}

double Trainer::steps_per_s() const {
  return static_cast<double>(step_->next_step() - first_step_) / std::max(1e-9, clock_.training_seconds());
}

StepReport Trainer::step_report(double loss) {
  const int64_t step = step_->next_step();
  const double now_s = clock_.training_seconds();
  const double rate = static_cast<double>(step - reported_step_) / std::max(1e-9, now_s - reported_s_);
  reported_step_ = step;
  reported_s_ = now_s;
  return {.step = step,
          .loss = loss,
          .learning_rate = static_cast<double>(learning_rate_at(config_, step - 1)),
          .steps_per_s = rate,
          .images_per_s = rate * static_cast<double>(config_.train_batch_size)};
}

absl::Status Trainer::report_step() {
  constexpr int64_t kSummariesPerHistogram = 10;  // a histogram looks at every weight
  const int64_t step = step_->next_step();
  LOCKSTEP_RETURN_IF_ERROR(step_->finish());
  LOCKSTEP_ASSIGN_OR_RETURN(const double loss, step_->global_loss());
  const StepReport report = step_report(loss);
  if (metrics_ && is_due(step, config_.log_step_count_steps)) metrics_->log_step(report);
  if (!is_due(step, config_.save_summary_steps)) return absl::OkStatus();
  LOCKSTEP_ASSIGN_OR_RETURN(const auto usage, usage_.sample(communicator_, step_->wait_seconds()));
  if (!metrics_) return absl::OkStatus();
  metrics_->summarize(report, usage);
  // finish() writes the last ones.
  if (step < config_.train_steps && is_due(step, config_.save_summary_steps * kSummariesPerHistogram)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const float* const weights, step_->host_weights());
    metrics_->add_histograms(step, setup_->network.params(), weights);
  }
  return absl::OkStatus();
}

absl::Status Trainer::save_checkpoint() {
  const RunClock::Pause pause(&clock_);
  LOCKSTEP_RETURN_IF_ERROR(step_->finish());
  LOCKSTEP_RETURN_IF_ERROR(check_weights());
  LOCKSTEP_RETURN_IF_ERROR(state_->save(step_.get()));
  last_checkpoint_s_ = clock_.wall_seconds();
  // Weights that differ between ranks would go on diverging without a word.
  LOCKSTEP_ASSIGN_OR_RETURN(const float* const weights, step_->host_weights());
  return check_same_on_all_ranks(communicator_, fmt::format("the weights at step {} (SHA-256)", step_->next_step()),
                                 weights_sha256(setup_->network.params(), weights));
}

// A step whose gradient overflowed shows in the next step's loss; a checkpoint in between must not keep it. (Of the
// moments a rank sees its own shards; those of others it holds as they were at the start.)
absl::Status Trainer::check_weights() {
  LOCKSTEP_ASSIGN_OR_RETURN(const HostState state, step_->host_state());
  const std::pair<const char*, const float*> buffers[] = {
      {"weights", state.weights}, {"first moments", state.first_moment}, {"second moments", state.second_moment}};
  for (const auto& [what, flat] : buffers) {
    if (const Param* param = first_nonfinite(setup_->network.params(), flat)) {
      return absl::OutOfRangeError(fmt::format("non-finite {} in {} after step {} on rank {}; nothing was saved", what,
                                               param->name, step_->next_step(), communicator_.rank()));
    }
  }
  return absl::OkStatus();
}

absl::Status Trainer::run_evaluation() {
  const RunClock::Pause pause(&clock_);
  LOCKSTEP_RETURN_IF_ERROR(step_->finish());
  const EvalOptions options{.steps = config_.eval_steps,
                            .batch_size = config_.eval_batch_size,
                            .file_patience_s = FileWatch::patience_s(config_)};
  LOCKSTEP_ASSIGN_OR_RETURN(last_evaluation_, evaluate(communicator_, *step_, *setup_->test_data, options));
  if (metrics_) metrics_->evaluation(step_->next_step(), last_evaluation_, *setup_->test_data);
  if (std::isfinite(last_evaluation_.loss)) return absl::OkStatus();
  return absl::OutOfRangeError(fmt::format("non-finite loss on the test set at step {}", step_->next_step()));
}

absl::Status Trainer::leave_early() {
  LOCKSTEP_RETURN_IF_ERROR(save_checkpoint());
  LOCKSTEP_RETURN_IF_ERROR(state_->finish());
  const std::string reason =
      stop_signal() != 0 ? std::string(strsignal(stop_signal())) : std::string("another rank was asked to");
  LOG_INFO("stopped after step {} of {} ({}); checkpoint {}; the same command continues from there", step_->next_step(),
           config_.train_steps, reason,
           join_path(config_.output_dir, fmt::format("model.ckpt-{}", step_->next_step())));
  return absl::OkStatus();
}

absl::Status Trainer::finish() {
  if (state_->saved_step() != step_->next_step()) LOCKSTEP_RETURN_IF_ERROR(save_checkpoint());
  LOCKSTEP_RETURN_IF_ERROR(run_evaluation());
  LOCKSTEP_ASSIGN_OR_RETURN(const float* const weights, step_->host_weights());
  if (metrics_) metrics_->add_histograms(step_->next_step(), setup_->network.params(), weights);
  LOCKSTEP_RETURN_IF_ERROR(state_->finish());
  LOCKSTEP_RETURN_IF_ERROR(write_summary());
  return export_model();
}

// Last: whatever comes of it, the run's results are on disk.
absl::Status Trainer::export_model() {
  if (!config_.export_model) return absl::OkStatus();
  LOCKSTEP_ASSIGN_OR_RETURN(const float* const weights, step_->host_weights());
  absl::Status status;
  if (is_rank_0()) {
    const FileWatch writing(communicator_, FileWatch::patience_s(config_));
    status = export_run(config_, setup_->model_config, setup_->network, weights, step_->next_step());
  }
  return agree(communicator_, status);
}

absl::Status Trainer::write_summary() {
  const double train_s = clock_.training_seconds();
  LOCKSTEP_ASSIGN_OR_RETURN(const auto usage, usage_.sample(communicator_, step_->wait_seconds()));
  const int64_t steps = step_->next_step();
  RunSummary summary;
  summary.config = config_;
  summary.backend = backend_text(*setup_);
  summary.ranks = communicator_.size();
  summary.threads = static_cast<int>(config_.threads);
  summary.transport = step_->transport();
  summary.parameters = setup_->network.params().parameter_count();
  summary.steps = steps;
  summary.examples = steps * config_.train_batch_size;
  summary.resumed_from = first_step_;
  summary.wall_seconds = clock_.wall_seconds();
  summary.train_seconds = train_s;
  summary.images_per_s = static_cast<double>((steps - first_step_) * config_.train_batch_size) / train_s;
  summary.accuracy = last_evaluation_.accuracy;
  summary.loss = last_evaluation_.loss;
  for (const RankUsage& rank : usage) {
    summary.peak_memory_bytes = std::max(summary.peak_memory_bytes, rank.peak_memory_bytes);
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const float* const weights, step_->host_weights());
  summary.weights_sha256 = weights_sha256(setup_->network.params(), weights);
  // Nothing was left to train: the figures of the run that trained it are worth more than those of a glance at it.
  const bool keep = is_rank_0() && steps == first_step_ && holds_summary_of(config_.output_dir, summary.weights_sha256);
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator_, is_rank_0() && !keep ? write_run_summary(summary) : absl::OkStatus()));
  if (keep) LOG_INFO("all {} steps were done before; run.json stays as it is", steps);
  LOG_INFO("finished: steps={} images_per_s={:.0f} train_seconds={:.1f} accuracy={:.4f} weights_sha256={}", steps,
           summary.images_per_s, train_s, summary.accuracy, summary.weights_sha256);
  return absl::OkStatus();
}

}  // namespace lockstep
