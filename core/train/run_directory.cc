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

// "" when equal, else the first line in which the two networks differ.
std::string model_difference(const std::string& saved, const std::string& now) {
  if (saved == now) return "";
  const auto [a, b] = std::mismatch(saved.begin(), saved.end(), now.begin(), now.end());
  const auto line_at = [](const std::string& text, size_t at) {
    const size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  return fmt::format("model: `{}` in the saved run, `{}` now", line_at(saved, static_cast<size_t>(a - saved.begin())),
                     line_at(now, static_cast<size_t>(b - now.begin())));
}

}  // namespace

absl::Status check_continues_run(const TrainConfig& config, const ModelConfig& model) {
  if (!holds_checkpoints(config.output_dir)) return absl::OkStatus();
  std::vector<std::string> differences;
  if (const std::string path = join_path(config.output_dir, "config.yaml"); file_exists(path)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string yaml, read_file(path, kMaxFileBytes));
    TrainConfig saved;
    LOCKSTEP_RETURN_IF_ERROR(apply_yaml(yaml, path, &saved));
    differences = arithmetic_differences(saved, config);
  }
  if (const std::string path = join_path(config.output_dir, "model.yaml"); file_exists(path)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string saved, read_file(path, kMaxFileBytes));
    if (const std::string difference = model_difference(saved, to_yaml(model)); !difference.empty()) {
      differences.push_back(difference);
    }
  }
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{} holds checkpoints of a run with other settings; continuing it would mix two runs: {}. Use those "
                  "settings, or another --output_dir",
                  config.output_dir, fmt::join(differences, "; ")));
}

absl::Status write_run_files(const TrainConfig& config, const ModelConfig& model) {
  LOCKSTEP_RETURN_IF_ERROR(make_directories(config.output_dir));
  LOCKSTEP_RETURN_IF_ERROR(write_file_atomic(join_path(config.output_dir, "model.yaml"), to_yaml(model)));
  return write_file_atomic(join_path(config.output_dir, "config.yaml"), to_yaml(config));
}

}  // namespace lockstep
