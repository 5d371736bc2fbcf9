// SPDX-License-Identifier: Apache-2.0
#include "core/train/train_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "core/base/file.h"
#include "core/base/suggest.h"
#include "core/nn/yaml_reader.h"

namespace lockstep {
namespace {

using C = TrainConfig;

constexpr double kMaxSteps = 1e12;
constexpr double kMaxBatch = 2147483647;  // a position in the global batch is part of a random number's 32-bit counter

std::vector<TrainOption> make_options() {
  const bool kArithmetic = true;
  return {
      {"data_dir", &C::data_dir, "", "Directory with *.tfrecords* or the four raw IDX files"},
      {"output_dir", &C::output_dir, "", "Gets checkpoints, events and run.json; a run continues from what is there"},
      {"model", &C::model, "", "Network, a file like configs/models/mnist_cnn.yaml"},
      {"warm_start",
       &C::warm_start,
       "",
       "Model whose weights the run begins with: a run, checkpoint, SavedModel or ONNX file; empty: from the seed",
       0,
       0,
       {},
       false,
       /*may_be_empty=*/true},
      {"train_steps", &C::train_steps, "steps", "Train until this global step", 0, kMaxSteps},
      {"train_batch_size",
       &C::train_batch_size,
       "examples",
       "Global batch, split over the ranks",
       1,
       kMaxBatch,
       {},
       kArithmetic},
      {"eval_steps", &C::eval_steps, "batches", "Test batches of an evaluation; 0: the whole test set", 0, kMaxSteps},
      {"eval_batch_size", &C::eval_batch_size, "examples", "Test batch", 1, kMaxBatch},
      {"learning_rate", &C::learning_rate, "", "Learning rate of Adam", 0, 1e38, {}, kArithmetic},
      {"lr_schedule",
       &C::lr_schedule,
       "",
       "What becomes of it: constant, or cosine, down to lr_final at train_steps",
       0,
       0,
       {"constant", "cosine"},
       kArithmetic},
      {"warmup_steps",
       &C::warmup_steps,
       "steps",
       "The learning rate first rises linearly over these",
       0,
       kMaxSteps,
       {},
       kArithmetic},
      {"lr_final", &C::lr_final, "", "Where the cosine ends", 0, 1e38, {}, kArithmetic},
      {"adam_beta1", &C::adam_beta1, "", "Decay of the first moment", 0, 0.999999, {}, kArithmetic},
      {"adam_beta2", &C::adam_beta2, "", "Decay of the second moment", 0, 0.9999999, {}, kArithmetic},
      {"adam_epsilon", &C::adam_epsilon, "", "Added to the root of the second moment", 1e-30, 1e38, {}, kArithmetic},
      {"seed", &C::seed, "", "Of initial weights, order, dropout and augmentation", 0, 9e18, {}, kArithmetic},
      {"shuffle", &C::shuffle, "", "New order each epoch; false: file order", 0, 1, {}, kArithmetic},
      {"augment_shift",
       &C::augment_shift,
       "pixels",
       "Random shift up to this far, each direction",
       0,
       4096,
       {},
       kArithmetic},
      {"augment_rotate",
       &C::augment_rotate,
       "degrees",
       "Random rotation up to this far, each way",
       0,
       180,
       {},
       kArithmetic},
      {"grad_slices",
       &C::grad_slices,
       "slices",
       "Slices of the global batch, a power of two; as many ranks at most",
       1,
       256,
       {},
       kArithmetic},
      {"save_checkpoints_secs", &C::save_checkpoints_secs, "seconds",
       "Between checkpoints, each with an evaluation; 0: off"},
      {"save_checkpoints_steps", &C::save_checkpoints_steps, "steps",
       "Between checkpoints, each with an evaluation; 0: off"},
      {"keep_checkpoint_max", &C::keep_checkpoint_max, "checkpoints", "Newest ones kept", 1, 1e6},
      {"export", &C::export_model, "", "Write a SavedModel to output_dir/export/Servo at the end", 0, 1},
      {"exports_to_keep", &C::exports_to_keep, "exports", "Newest SavedModels kept there; 0: all", 0, 1e6},
      {"save_summary_steps", &C::save_summary_steps, "steps", "Between points in TensorBoard; 0: off"},
      {"log_step_count_steps", &C::log_step_count_steps, "steps", "Between log lines; 0: off"},
      {"threads", &C::threads, "threads", "Per rank; 0: the cores of the host, shared among its ranks", 0, 4096},
      {"device", &C::device, "", "cpu, cuda, or auto: a GPU if there is one", 0, 0, {"cpu", "cuda", "auto"}},
      {"backend",
       &C::backend,
       "",
       "Of the CPU: simd, or ref (slow, for checks); of a GPU: cuda (our kernels), or cudnn; auto: the first",
       0,
       0,
       {"auto", "simd", "ref", "cuda", "cudnn"},
       kArithmetic},
      {"precision",
       &C::precision,
       "",
       "Of products on a GPU: fp32, tf32 or bf16; sums are fp32",
       0,
       0,
       {"fp32", "tf32", "bf16"},
       kArithmetic},
      {"cuda_graph", &C::cuda_graph, "", "Launch a GPU's step as one graph", 0, 1},
      {"collective",
       &C::collective,
       "",
       "How gradients are summed: ordered, or nccl (plain all-reduce between GPUs, for comparison)",
       0,
       0,
       {"ordered", "nccl"},
       kArithmetic},
      {"transport",
       &C::transport,
       "",
       "Between CPUs: shm (ranks of one host), mpi (messages), or auto: shm where it can",
       0,
       0,
       {"auto", "shm", "mpi"}},
      {"dataset_memory_limit", &C::dataset_memory_limit, "bytes", "Decoded data sets above this stream from disk"},
      {"stall_timeout_secs", &C::stall_timeout_secs, "seconds", "A rank silent for this long ends the job", 0.1, 1e6},
      {"file_timeout_secs", &C::file_timeout_secs, "seconds",
       "A file that brings nothing for this long ends the job; 0: stall_timeout_secs", 0, 1e6},
  };
}

std::string number_text(const TrainOption& option, double value) {
  return std::holds_alternative<double TrainConfig::*>(option.field) ? fmt::format("{}", value)
                                                                     : fmt::format("{:.0f}", value);
}

absl::Status value_error(const TrainOption& option, const std::string& expected, std::string_view found) {
  return absl::InvalidArgumentError(
      fmt::format("{} must be {}{}{}, found `{}`", option.name, expected, *option.unit ? " " : "", option.unit, found));
}

template <typename Number>
absl::Status set_number(const TrainOption& option, std::string_view text, Number* value) {
  Number read{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  // Written so that NaN fails.
  if (!whole || !(static_cast<double>(read) >= option.low && static_cast<double>(read) <= option.high)) {
    const char* kind = std::is_integral_v<Number> ? "a whole number" : "a number";
    return value_error(
        option,
        fmt::format("{} from {} to {}", kind, number_text(option, option.low), fmt::format("{:g}", option.high)), text);
  }
  *value = read;
  return absl::OkStatus();
}

absl::Status set_bool(const TrainOption& option, std::string_view text, bool* value) {
  const bool yes = text == "true" || text == "1" || text == "yes" || text.empty();  // a bare --flag
  const bool no = text == "false" || text == "0" || text == "no";
  if (!yes && !no) return value_error(option, "true or false", text);
  *value = yes;
  return absl::OkStatus();
}

absl::Status set_string(const TrainOption& option, std::string_view text, std::string* value) {
  const auto& choices = option.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) {
    // What other programs call it; by its letters it is nearer to `cpu`.
    const std::string known_as = text == "gpu" ? "cuda" : std::string(text);
    return absl::InvalidArgumentError(fmt::format("{} must be one of {}, found `{}`{}", option.name,
                                                  fmt::join(choices, ", "), text, did_you_mean(known_as, choices)));
  }
  if (text.empty() && !option.may_be_empty) return value_error(option, "a name", text);
  *value = text;
  return absl::OkStatus();
}

std::vector<std::string> option_names() {
  std::vector<std::string> names;
  for (const TrainOption& option : train_options()) names.push_back(option.name);
  return names;
}

// Single quotes, in which only the quote itself is special; double ones for text with control characters, of which the
// single ones would make spaces.
std::string quoted(const std::string& text) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  std::string out;
  if (std::none_of(text.begin(), text.end(), is_control)) {
    for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
    return "'" + out + "'";
  }
  for (const char c : text) {
    if (is_control(c)) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    }
  }
  return "\"" + out + "\"";
}

}  // namespace

const std::vector<TrainOption>& train_options() {
  static const std::vector<TrainOption> options = make_options();
  return options;
}

std::string option_text(const TrainConfig& config, const TrainOption& option) {
  return std::visit([&config](const auto field) { return fmt::format("{}", config.*field); }, option.field);
}

absl::Status set_option(const TrainOption& option, std::string_view text, TrainConfig* config) {
  if (const auto* field = std::get_if<std::string C::*>(&option.field)) {
    return set_string(option, text, &(config->*(*field)));
  }
  if (const auto* field = std::get_if<bool C::*>(&option.field)) return set_bool(option, text, &(config->*(*field)));
  if (const auto* field = std::get_if<int64_t C::*>(&option.field)) {
    return set_number(option, text, &(config->*(*field)));
  }
  return set_number(option, text, &(config->*(std::get<double C::*>(option.field))));
}

absl::Status apply_yaml(std::string_view yaml, const std::string& path, TrainConfig* config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const YAML::Node root, parse_yaml(yaml, path));
  if (root.IsNull()) return absl::OkStatus();  // only comments
  LOCKSTEP_ASSIGN_OR_RETURN(const auto map, YamlMapping::open(root, path, "the configuration", option_names()));
  for (const TrainOption& option : train_options()) {
    if (!map.has(option.name)) continue;
    const YAML::Node node = map.at(option.name);
    if (!node.IsScalar()) {
      return absl::InvalidArgumentError(fmt::format("{}: {} must be one value", yaml_place(path, node), option.name));
    }
    LOCKSTEP_RETURN_IF_ERROR(annotate(set_option(option, node.Scalar(), config), yaml_place(path, node)));
  }
  const std::string directory = directory_name(path), beside = join_path(directory, config->model);
  if (map.has("model") && !config->model.starts_with('/') && directory != "." && file_exists(beside)) {
    config->model = beside;
  }
  return absl::OkStatus();
}

std::string to_yaml(const TrainConfig& config) {
  std::string out;
  for (const TrainOption& option : train_options()) {
    const std::string text = option_text(config, option);
    const bool quote = std::holds_alternative<std::string C::*>(option.field) && option.choices.empty();
    if (!quote) {
      out += fmt::format("{}: {}\n", option.name, text);
      continue;
    }
    out += fmt::format("{}: {}\n", option.name, quoted(text));
  }
  return out;
}

std::vector<std::string> arithmetic_differences(const TrainConfig& saved, const TrainConfig& now) {
  std::vector<std::string> differences;
  for (const TrainOption& option : train_options()) {
    // A constant schedule does not look at where the run ends: training on is the same run.
    const bool schedule_end = std::string_view(option.name) == "train_steps" && saved.lr_schedule == "cosine";
    if (!option.changes_arithmetic && !schedule_end) continue;
    const std::string before = option_text(saved, option), after = option_text(now, option);
    if (before == after) continue;
    const char* reason =
        schedule_end ? " (counts because lr_schedule=cosine: every step's rate depends on the last one)" : "";
    differences.push_back(fmt::format("{}: {} in the saved run, {} now{}", option.name, before, after, reason));
  }
  return differences;
}

}  // namespace lockstep
