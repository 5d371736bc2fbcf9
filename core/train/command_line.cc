// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <map>

#include "core/base/file.h"
#include "core/base/suggest.h"
#include "core/base/version.h"
#include "core/train/train_config.h"

namespace lockstep {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;

// Names a flag answers to besides its own: Cloud ML Engine passes the output directory as --job-dir.
std::string flag_names(const TrainOption& option) {
  const std::string name = fmt::format("--{}", option.name);
  return name == "--output_dir" ? name + ",--job-dir,--job_dir" : name;
}

struct FlagValues {
  std::string config_file;
  std::map<std::string, std::string> texts;  // by option name
};

void declare_flags(CLI::App* app, FlagValues* values) {
  app->add_option("--config", values->config_file, "YAML file with any of these keys; flags override it")
      ->type_name("FILE")
      ->take_last();
  app->set_version_flag("--version", std::string("mnist_train ") + kVersion);
  const TrainConfig defaults;
  for (const TrainOption& option : train_options()) {
    CLI::Option* flag = app->add_option(flag_names(option), values->texts[option.name], option.help);
    flag->type_name(*option.unit ? option.unit : "")->default_str(option_text(defaults, option))->take_last();
    if (std::holds_alternative<bool TrainConfig::*>(option.field)) flag->expected(0, 1);
  }
  app->allow_extras();  // so that an unknown flag can be answered with the nearest one
}

absl::Status unknown_flag(const std::string& argument) {
  if (!argument.starts_with("-")) {
    return absl::InvalidArgumentError(fmt::format("unexpected argument `{}`; flags look like --name=value", argument));
  }
  std::vector<std::string> known{"--config", "--help", "--version", "--job-dir"};
  for (const TrainOption& option : train_options()) known.push_back(fmt::format("--{}", option.name));
  const std::string name = argument.substr(0, argument.find('='));
  return absl::InvalidArgumentError(fmt::format("unknown flag {}{}", name, did_you_mean(name, known)));
}

absl::Status check_device_choice(const TrainConfig& config) {
  const bool gpu_backend = config.backend == "cuda" || config.backend == "cudnn";
  const bool cpu_backend = config.backend == "simd" || config.backend == "ref";
  if (config.device == "cpu") {
    if (gpu_backend) {
      return absl::InvalidArgumentError(fmt::format("--backend={} runs on a GPU: add --device=cuda", config.backend));
    }
    if (config.collective == "nccl") {
      return absl::InvalidArgumentError("--collective=nccl sums between GPUs: add --device=cuda");
    }
    if (config.precision != "fp32") {
      return absl::InvalidArgumentError(fmt::format("--precision={} needs a GPU: add --device=cuda", config.precision));
    }
  }
  if (config.device == "cuda" && cpu_backend) {
    return absl::InvalidArgumentError(
        fmt::format("--backend={} runs on the CPU: leave --device=cuda out, or take --backend=cuda", config.backend));
  }
  return absl::OkStatus();
}

absl::Status check_together(const TrainConfig& config) {
  if (!std::has_single_bit(static_cast<uint64_t>(config.grad_slices))) {
    return absl::InvalidArgumentError(
        fmt::format("grad_slices must be a power of two (1, 2, 4, 8, …), found {}", config.grad_slices));
  }
  if (config.lr_schedule == "cosine" && config.warmup_steps > config.train_steps) {
    return absl::InvalidArgumentError(
        fmt::format("warmup_steps ({}) must not be above train_steps ({}) with lr_schedule=cosine, which begins behind "
                    "them: take more --train_steps, or --warmup_steps 0 for none",
                    config.warmup_steps, config.train_steps));
  }
  return check_device_choice(config);
}

}  // namespace

absl::StatusOr<TrainCommandLine> parse_train_command_line(int argc, const char* const* argv) {
  CLI::App app("Trains an image classifier in data parallel: mpirun -np N mnist_train [flags]", "mnist_train");
  FlagValues values;
  declare_flags(&app, &values);
  TrainCommandLine result;
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    result.text_to_print = app.help();
    return result;
  } catch (const CLI::CallForVersion& e) {
    result.text_to_print = std::string(e.what()) + "\n";
    return result;
  } catch (const CLI::ParseError& e) {
    return absl::InvalidArgumentError(e.what());
  }
  if (const auto extras = app.remaining(); !extras.empty()) return unknown_flag(extras.front());
  if (!values.config_file.empty()) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string yaml, read_file(values.config_file, kMaxFileBytes));
    LOCKSTEP_RETURN_IF_ERROR(apply_yaml(yaml, values.config_file, &result.config));
  }
  for (const TrainOption& option : train_options()) {
    if (app.count(fmt::format("--{}", option.name)) == 0) continue;
    LOCKSTEP_RETURN_IF_ERROR(set_option(option, values.texts[option.name], &result.config));
  }
  LOCKSTEP_RETURN_IF_ERROR(check_together(result.config));
  return result;
}

}  // namespace lockstep
