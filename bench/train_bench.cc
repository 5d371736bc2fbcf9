// SPDX-License-Identifier: Apache-2.0
#include "bench/train_bench.h"

#include <fmt/format.h>

#include <chrono>

#include "core/base/rng.h"
#include "core/nn/model_config.h"

namespace lockstep {
namespace {

// As many as the peers use, so that neither finds its inputs in the cache.
constexpr int kBatches = 20;

// Faint noise with a bright square whose place tells the class: something to learn.
void draw_image(const ImageShape& shape, int label, int classes, const RngStream& noise, uint8_t* pixels) {
  const int rows = shape.height, columns = shape.width;
  const int top = label * (rows - rows / 4) / classes, left = (label * 7 % classes) * (columns - columns / 4) / classes;
  uint32_t i = 0;
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x) {
      const bool bright = y >= top && y < top + rows / 4 && x >= left && x < left + columns / 4;
      for (int c = 0; c < shape.depth; ++c, ++i)
        pixels[i] = static_cast<uint8_t>(noise.bits(i) % 64 + (bright ? 190 : 0));
    }
  }
}

// What TrainStep measured since the last call.
StepTimes take_times(StepTimes* times) {
  StepTimes taken = *times;
  times->steps = 0;
  times->total_s = times->input_s = times->loss_s = times->adam_s = times->reduce_s = times->gather_s = 0;
  for (LayerTime& layer : times->layers) layer.forward_s = layer.backward_s = layer.update_s = 0;
  return taken;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainBench>> TrainBench::create(Communicator& communicator, const TrainConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const ModelConfig model, load_model_config(config.model));
  LOCKSTEP_ASSIGN_OR_RETURN(Network network, Network::build(model));
  TrainConfig resolved = config;
  LOCKSTEP_ASSIGN_OR_RETURN(auto accelerator, open_accelerator(communicator, &resolved));
  LOCKSTEP_ASSIGN_OR_RETURN(const Backend backend, parse_backend(resolved.backend));
  std::unique_ptr<TrainBench> bench(new TrainBench(communicator, resolved, std::move(network)));
  bench->accelerator_ = std::move(accelerator);
  const int64_t capacity = TrainStep::local_examples(config, communicator.rank(), communicator.size());
  const KernelContext kernel{.backend = is_device(backend) ? Backend::kSimd : backend, .pool = &bench->pool_};
  LOCKSTEP_ASSIGN_OR_RETURN(bench->step_, TrainStep::create(communicator, bench->network_, resolved, kernel,
                                                            bench->accelerator_.get(), capacity));
  bench->make_batches();
  return bench;
}

TrainBench::TrainBench(Communicator& communicator, const TrainConfig& config, Network network)
    : communicator_(communicator),
      config_(config),
      network_(std::move(network)),
      pool_(static_cast<int>(config.threads)) {}

void TrainBench::make_batches() {
  const FeatureShape input = network_.input();
  const ImageShape shape{input.height, input.width, input.channels};
  const int64_t first = TrainStep::local_first_example(config_, communicator_.rank(), communicator_.size());
  const int64_t count = TrainStep::local_examples(config_, communicator_.rank(), communicator_.size());
  for (int b = 0; b < kBatches; ++b) {
    Batch batch;
    batch.images.resize(static_cast<size_t>(count * shape.size()));
    for (int64_t i = 0; i < count; ++i) {
      const RngStream noise(static_cast<uint64_t>(config_.seed), RngPurpose::kTest, static_cast<uint64_t>(b),
                            static_cast<uint32_t>(first + i));
      const auto label = static_cast<int>((first + i) % network_.classes());
      batch.labels.push_back(label);
      draw_image(shape, label, network_.classes(), noise, batch.images.data() + i * shape.size());
    }
    batches_.push_back(std::move(batch));
  }
}

absl::Status TrainBench::run(int64_t steps) {
  LOCKSTEP_RETURN_IF_ERROR(run_steps(steps));
  return check_trained();
}

absl::Status TrainBench::run_steps(int64_t steps) {
  for (int64_t i = 0; i < steps; ++i) {
    Batch& batch = batches_[static_cast<size_t>(step_->next_step() % kBatches)];
    batch.step = step_->next_step();
    const auto start = std::chrono::steady_clock::now();
    LOCKSTEP_RETURN_IF_ERROR(step_->run(batch, 0));
    record_step(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    if (step_->next_step() == 1) {
      LOCKSTEP_ASSIGN_OR_RETURN(first_loss_, step_->global_loss());
    }
  }
  return absl::OkStatus();
}

absl::Status TrainBench::check_trained() {
  LOCKSTEP_ASSIGN_OR_RETURN(const double loss, step_->global_loss());
  if (loss < first_loss_) return absl::OkStatus();
  return absl::InternalError(
      fmt::format("the loss went from {} to {}: the step does not train, its time means nothing", first_loss_, loss));
}

void TrainBench::discard() {
  step_seconds_.clear();
  phases_.clear();
}

double TrainBench::flops_per_step() const {
  return network_.train_flops() * static_cast<double>(config_.train_batch_size);
}

// Every step records the same phases in the same order.
void TrainBench::record_phase(const std::string& name, double flops, double seconds) {
  if (next_phase_ == phases_.size()) phases_.push_back({name, flops, {}});
  phases_[next_phase_++].seconds.push_back(seconds);
}

void TrainBench::record_step(double seconds) {
  const StepTimes times = take_times(&step_->times());
  const auto batch = static_cast<double>(config_.train_batch_size);
  double named = 0;
  next_phase_ = 0;
  const auto record = [&](const std::string& name, double flops, double phase_seconds) {
    record_phase(name, flops * batch, phase_seconds);
    named += phase_seconds;
  };
  record("input", 0, times.input_s);
  for (const LayerTime& layer : times.layers) record(layer.name + " forward", layer.flops, layer.forward_s);
  record("loss", 0, times.loss_s);
  for (auto layer = times.layers.rbegin(); layer != times.layers.rend(); ++layer) {
    if (layer->update_s > 0) {  // every step of a run or none
      record(layer->name + " backward and Adam", layer->backward_flops, layer->backward_s + layer->update_s);
    } else {
      record(layer->name + " backward", layer->backward_flops, layer->backward_s);
    }
  }
  record("Adam", 0, times.adam_s);
  if (communicator_.size() > 1) record("communication", 0, times.reduce_s + times.gather_s);
  record("other", 0, std::max(0.0, seconds - named));
  step_seconds_.push_back(seconds);
}

BenchRow TrainBench::row(const std::string& bench, const std::string& name, const std::vector<double>& seconds,
                         double flops, const FmaPeak& peak) const {
  BenchRow row = BenchRow::here(bench, name);
  row.backend = config_.backend == "simd" ? "simd " + simd_target_name() : config_.backend;
  if (on_gpu()) row.backend += fmt::format(" {} {}", config_.precision, accelerator_->device->name());
  row.shape = fmt::format("batch {}", config_.train_batch_size);
  row.ranks = communicator_.size();
  row.threads = pool_.threads();
  if (!keeps_time()) return row;
  row.set_time(summarize(seconds));
  if (flops > 0) {
    row.gflops = flops / row.median_s * 1e-9;
    if (!on_gpu()) row.percent_of_peak = 100 * *row.gflops / peak.gflops();
  }
  return row;
}

BenchRow TrainBench::step_row(const FmaPeak& peak) const {
  BenchRow step = row("train", "Lockstep", step_seconds_, flops_per_step(), peak);
  if (keeps_time()) step.images_per_s = static_cast<double>(config_.train_batch_size) / step.median_s;
  return step;
}

std::vector<BenchRow> TrainBench::phase_rows(const FmaPeak& peak) const {
  std::vector<BenchRow> rows;
  if (on_gpu()) return rows;  // the host's times there are those of enqueuing
  for (const Phase& phase : phases_) rows.push_back(row("train phase", phase.name, phase.seconds, phase.flops, peak));
  return rows;
}

}  // namespace lockstep
