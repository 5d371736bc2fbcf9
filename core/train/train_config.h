// SPDX-License-Identifier: Apache-2.0
// Every setting of a training run: one struct holds the defaults, one table names them for the command line, for
// configuration files and for the resolved `config.yaml` beside the checkpoints. configs/README.md explains each key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct TrainConfig {
  std::string data_dir = "data/mnist";
  std::string output_dir = "output";
  std::string model = "configs/models/mnist_cnn.yaml";
  std::string warm_start;  // a model whose weights the run begins with; empty: from the seed

  int64_t train_steps = 10000;
  int64_t train_batch_size = 100;  // global
  int64_t eval_steps = 100;        // 0: the whole test set
  int64_t eval_batch_size = 100;

  double learning_rate = 1e-3;
  std::string lr_schedule = "constant";
  int64_t warmup_steps = 0;
  double lr_final = 0;
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;

  int64_t seed = 1;
  bool shuffle = true;
  double augment_shift = 0;   // pixels
  double augment_rotate = 0;  // degrees
  int64_t grad_slices = 8;

  int64_t save_checkpoints_secs = 180;
  int64_t save_checkpoints_steps = 0;
  int64_t keep_checkpoint_max = 5;
  bool export_model = true;  // key `export`
  int64_t exports_to_keep = 1;
  int64_t save_summary_steps = 100;
  int64_t log_step_count_steps = 100;

  int64_t threads = 0;  // per rank; 0: the cores of the host shared among its ranks
  std::string device = "cpu";
  std::string backend = "auto";    // resolved when the device is known
  std::string precision = "fp32";  // of products on a GPU
  bool cuda_graph = true;
  std::string collective = "ordered";
  std::string transport = "auto";
  int64_t dataset_memory_limit = int64_t{1} << 30;  // bytes
  double stall_timeout_secs = 7;
  double file_timeout_secs = 0;  // 0: as stall_timeout_secs
};

// How long a file may bring no data before the run ends.
inline double file_timeout_s(const TrainConfig& config) {
  return config.file_timeout_secs > 0 ? config.file_timeout_secs : config.stall_timeout_secs;
}

struct TrainOption {
  using Field =
      std::variant<std::string TrainConfig::*, int64_t TrainConfig::*, double TrainConfig::*, bool TrainConfig::*>;
  const char* name;
  Field field;
  const char* unit;  // "" when the value is its own
  const char* help;
  double low = 0, high = 1e18;            // range of numbers
  std::vector<std::string> choices = {};  // of strings; empty: any
  bool changes_arithmetic = false;        // a resumed run must not change it
  bool may_be_empty = false;              // of strings
};

const std::vector<TrainOption>& train_options();

// The value as text, as it is written in a file or behind a flag.
std::string option_text(const TrainConfig& config, const TrainOption& option);
// Errors say what is expected.
absl::Status set_option(const TrainOption& option, std::string_view text, TrainConfig* config);

// Overwrites *config with the keys of a YAML file. Errors name file, line, key and the nearest known key. A relative
// `model` is looked for beside the file first, then from the working directory.
absl::Status apply_yaml(std::string_view yaml, const std::string& path, TrainConfig* config);
std::string to_yaml(const TrainConfig& config);

struct TrainCommandLine {
  TrainConfig config;
  std::string text_to_print;  // not empty: --help or --version was given; print it and leave
};

// Defaults, then the file of --config, then the flags. Errors are usage errors; an unknown flag names the nearest one.
absl::StatusOr<TrainCommandLine> parse_train_command_line(int argc, const char* const* argv);

// What two configurations of one run disagree on such that resuming would not continue the same arithmetic: lines
// "learning_rate: 0.001 in the saved run, 0.01 now". Empty: compatible. The model is compared elsewhere, by content.
std::vector<std::string> arithmetic_differences(const TrainConfig& saved, const TrainConfig& now);

}  // namespace lockstep
