// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/base/help_format.h"
#include "core/base/suggest.h"
#include "core/base/version.h"
#include "core/train/train_config.h"

namespace lockstep {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;

// The name that Cloud ML Engine passes the output directory with.
constexpr const char* kJobDir = "job_dir";

// Names that other programs have for our flags, and that are nearer to other flags of ours by their letters.
constexpr std::pair<std::string_view, const char*> kOtherNames[] = {
    {"batch_size", "train_batch_size"}, {"steps", "train_steps"},
    {"max_steps", "train_steps"},       {"lr", "learning_rate"},
    {"model_dir", "output_dir"},        {"num_threads", "threads"}};

bool is_option(std::string_view name) {
  const auto& options = train_options();
  return name == kJobDir ||
         std::any_of(options.begin(), options.end(), [name](const TrainOption& option) { return name == option.name; });
}

std::string with_underscores(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// `--train-steps=5` as `--train_steps=5`: flags of Cloud ML Engine have dashes, those of the tutorial's program
// underscores. Other arguments as they are.
std::string with_own_spelling(const std::string& argument) {
  if (!argument.starts_with("--")) return argument;
  const size_t end = std::min(argument.find('='), argument.size());
  const std::string name = with_underscores(argument.substr(2, end - 2));
  return is_option(name) ? "--" + name + argument.substr(end) : argument;
}

// `--output_dir=`, of which a shell's empty variable is the usual cause; the parser would call it missing.
absl::Status check_values(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = with_own_spelling(argv[i]);
    for (const TrainOption& option : train_options()) {
      const bool bare_is_yes = std::holds_alternative<bool TrainConfig::*>(option.field);
      if (bare_is_yes || argument != fmt::format("--{}=", option.name)) continue;
      return absl::InvalidArgumentError(fmt::format("--{} has no value behind the `=`", option.name));
    }
  }
  return absl::OkStatus();
}

std::string flag_names(const TrainOption& option) {
  const std::string name = fmt::format("--{}", option.name);
  return name == "--output_dir" ? fmt::format("{},--{}", name, kJobDir) : name;
}

struct FlagValues {
  std::string config_file;
  std::map<std::string, std::string> texts;  // by option name
};

void declare_flags(CLI::App* app, FlagValues* values) {
  set_help_format(*app);
  app->add_option("--config", values->config_file, "YAML file with any of these keys; flags override it")
      ->type_name("FILE")
      ->take_last();
  app->set_version_flag("--version", std::string("mnist_train ") + kVersion, "Print the version");
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
  std::vector<std::string> known{"--config", "--help", "--version", fmt::format("--{}", kJobDir)};
  for (const TrainOption& option : train_options()) known.push_back(fmt::format("--{}", option.name));
  const std::string name = argument.substr(0, argument.find('='));
  const std::string plain = with_underscores(name.substr(std::min<size_t>(name.find_first_not_of('-'), name.size())));
  for (const auto& [other, ours] : kOtherNames) {
    if (plain == other) return absl::InvalidArgumentError(fmt::format("unknown flag {}: it is --{} here", name, ours));
  }
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
  LOCKSTEP_RETURN_IF_ERROR(check_values(argc, argv));
  try {
    std::vector<std::string> arguments;  // from the last one on
    for (int i = argc - 1; i > 0; --i) arguments.push_back(with_own_spelling(argv[i]));
    app.parse(std::move(arguments));
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
