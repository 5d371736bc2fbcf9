// SPDX-License-Identifier: Apache-2.0
#include "core/train/train_setup.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/host_info.h"
#include "core/base/sha256.h"
#include "core/train/agree.h"
#include "core/train/device_memory_plan.h"
#include "core/train/file_watch.h"
#include "core/train/memory_plan.h"
#include "core/train/run_data.h"
#include "core/train/thread_share.h"
#include "core/train/train_step.h"

namespace lockstep {
namespace {

absl::Status load_network(TrainSetup* setup) {
  const std::string& path = setup->config.model;
  auto config = load_model_config(path);
  if (absl::IsNotFound(config.status())) {
    const bool is_default = path == TrainConfig().model;
    return absl::NotFoundError(
        fmt::format("--model={}: no such file{}; name a network with --model FILE, or a run's configuration, which may "
                    "name it, with --config FILE",
                    path, is_default ? " (it is the default, relative to the root of Lockstep's repository)" : ""));
  }
  if (!config.ok()) return config.status();
  setup->model_config = *std::move(config);
  LOCKSTEP_ASSIGN_OR_RETURN(setup->network, Network::build(setup->model_config));
  return absl::OkStatus();
}

// Subtracts what the set takes, if it stays in memory, from *memory_limit.
absl::StatusOr<std::unique_ptr<Dataset>> open_split(const TrainSetup& setup, Split split, int64_t* memory_limit) {
  const TrainConfig& config = setup.config;
  const DatasetOptions options{.memory_limit_bytes = *memory_limit, .label_limit = setup.network.classes()};
  LOCKSTEP_ASSIGN_OR_RETURN(auto data, open_dataset(config.data_dir, split, options));
  const ImageShape found = data->shape();
  const FeatureShape shape = setup.network.input();
  if (found != ImageShape{shape.height, shape.width, shape.channels}) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: the {} images are {}x{}x{} (height, width, depth), but {} describes a network for {}", config.data_dir,
        split_name(split), found.height, found.width, found.depth, config.model, shape.to_string()));
  }
  if (data->size() == 0) {
    return absl::InvalidArgumentError(
        fmt::format("{}: the {} set holds no examples", config.data_dir, split_name(split)));
  }
  const int64_t decoded_bytes = data->size() * (found.size() + static_cast<int64_t>(sizeof(int32_t)));
  if (decoded_bytes <= *memory_limit) *memory_limit -= decoded_bytes;
  return data;
}

absl::Status open_data(Communicator& communicator, TrainSetup* setup) {
  const FileWatch every_record_is_checked(communicator, FileWatch::patience_s(setup->config));
  if (!is_directory(setup->config.data_dir)) {
    return absl::NotFoundError(
        fmt::format("--data_dir={} is no directory; `lockstep records create --directory {}` makes one",
                    setup->config.data_dir, setup->config.data_dir));
  }
  int64_t memory_limit = resident_data_limit(setup->config, communicator.local_size(), available_memory_bytes());
  LOCKSTEP_ASSIGN_OR_RETURN(setup->train_data, open_split(*setup, Split::kTrain, &memory_limit));
  LOCKSTEP_ASSIGN_OR_RETURN(setup->test_data, open_split(*setup, Split::kTest, &memory_limit));
  return absl::OkStatus();
}

// Settings that may differ between ranks: where things are, and what a rank's host can do.
bool may_differ(std::string_view option) {
  constexpr std::string_view kLocal[] = {"data_dir", "output_dir", "model", "threads", "dataset_memory_limit"};
  return std::find(std::begin(kLocal), std::end(kLocal), option) != std::end(kLocal);
}

// What all ranks must share: the arithmetic, and whatever decides when they meet.
std::string shared_settings(const TrainSetup& setup) {
  std::string text = to_yaml(setup.model_config) + to_yaml(run_data(*setup.train_data, *setup.test_data));
  for (const TrainOption& option : train_options()) {
    if (!may_differ(option.name)) text += fmt::format(" {}={}", option.name, option_text(setup.config, option));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainSetup>> set_up_training(Communicator& communicator, const TrainConfig& config) {
  auto setup = std::make_unique<TrainSetup>();
  setup->config = config;
  const int ranks = communicator.size(), local_ranks = communicator.local_size();
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator, TrainStep::check_ranks(config, ranks)));
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator, load_network(setup.get())));
  LOCKSTEP_ASSIGN_OR_RETURN(setup->accelerator, open_accelerator(communicator, &setup->config));
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator, open_data(communicator, setup.get())));
  LOCKSTEP_RETURN_IF_ERROR(
      check_same_on_all_ranks(communicator, "configuration or data", sha256_hex(shared_settings(*setup))));
  // The data sets of all ranks are loaded by now, so what they take is no longer available.
  LOCKSTEP_RETURN_IF_ERROR(
      agree(communicator, check_memory(setup->network, setup->config, ranks, local_ranks, available_memory_bytes())));
  if (setup->accelerator != nullptr) {
    LOCKSTEP_RETURN_IF_ERROR(
        agree(communicator, check_device_memory(communicator, setup->network, setup->config, *setup->accelerator)));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const int share, threads_for_rank(communicator));
  setup->config.threads = config.threads > 0 ? config.threads : share;
  setup->pool = std::make_unique<ThreadPool>(static_cast<int>(setup->config.threads));
  // A layer of a large batch may take longer than the stall time-out.
  setup->pool_progress =
      std::make_unique<ProgressSource>(communicator, [pool = setup->pool.get()] { return pool->tasks_done(); });
  LOCKSTEP_ASSIGN_OR_RETURN(const Backend backend, parse_backend(setup->config.backend));
  setup->kernel = {is_device(backend) ? Backend::kSimd : backend, setup->pool.get()};
  return setup;
}

}  // namespace lockstep
