// SPDX-License-Identifier: Apache-2.0
#include "core/train/run_directory.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/file.h"

namespace lockstep {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;

bool holds_checkpoints(const std::string& directory) {
  const auto names = list_directory(directory);
  return names.ok() && std::any_of(names->begin(), names->end(), [](const std::string& name) {
           return name.starts_with("model.ckpt-") && name.ends_with(".index");
         });
}

// "" when equal, else the first line in which the two texts differ.
std::string first_difference(std::string_view what, const std::string& saved, const std::string& now) {
  if (saved == now) return "";
  const auto [a, b] = std::mismatch(saved.begin(), saved.end(), now.begin(), now.end());
  const auto line_at = [](const std::string& text, size_t at) {
    const size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  return fmt::format("{}: `{}` in the saved run, `{}` now", what,
                     line_at(saved, static_cast<size_t>(a - saved.begin())),
                     line_at(now, static_cast<size_t>(b - now.begin())));
}

std::string data_yaml(int64_t train_examples) { return fmt::format("train_examples: {}\n", train_examples); }

// Appends how the file of a run differs from what this run would write; a run of an earlier version may lack it.
absl::Status compare_file(const TrainConfig& config, const char* name, const std::string& now,
                          std::vector<std::string>* differences) {
  const std::string path = join_path(config.output_dir, fmt::format("{}.yaml", name));
  if (!file_exists(path)) return absl::OkStatus();
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string saved, read_file(path, kMaxFileBytes));
  if (const std::string difference = first_difference(name, saved, now); !difference.empty()) {
    differences->push_back(difference);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status check_continues_run(const TrainConfig& config, const ModelConfig& model, int64_t train_examples) {
  if (!holds_checkpoints(config.output_dir)) return absl::OkStatus();
  std::vector<std::string> differences;
  if (const std::string path = join_path(config.output_dir, "config.yaml"); file_exists(path)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string yaml, read_file(path, kMaxFileBytes));
    TrainConfig saved;
    LOCKSTEP_RETURN_IF_ERROR(apply_yaml(yaml, path, &saved));
    differences = arithmetic_differences(saved, config);
  }
  LOCKSTEP_RETURN_IF_ERROR(compare_file(config, "model", to_yaml(model), &differences));
  LOCKSTEP_RETURN_IF_ERROR(compare_file(config, "data", data_yaml(train_examples), &differences));
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{} holds checkpoints of a run with other settings; continuing it would mix two runs: {}. Use those "
                  "settings, or another --output_dir",
                  config.output_dir, fmt::join(differences, "; ")));
}

absl::Status write_run_files(const TrainConfig& config, const ModelConfig& model, int64_t train_examples) {
  LOCKSTEP_RETURN_IF_ERROR(write_file_atomic(join_path(config.output_dir, "data.yaml"), data_yaml(train_examples)));
  LOCKSTEP_RETURN_IF_ERROR(write_file_atomic(join_path(config.output_dir, "model.yaml"), to_yaml(model)));
  return write_file_atomic(join_path(config.output_dir, "config.yaml"), to_yaml(config));
}

}  // namespace lockstep
