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

// How the data differ from the saved run's, and where those were.
absl::Status compare_data(const TrainConfig& saved, const TrainConfig& now, const RunData& data,
                          std::vector<std::string>* differences) {
  const std::string path = join_path(now.output_dir, "data.yaml");
  if (!file_exists(path)) return absl::OkStatus();
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string yaml, read_file(path, kMaxFileBytes));
  LOCKSTEP_ASSIGN_OR_RETURN(std::vector<std::string> found, data_differences(yaml, path, data));
  if (found.empty()) return absl::OkStatus();
  found.back() += saved.data_dir == now.data_dir
                      ? fmt::format(" (--data_dir={} in both: what it holds has changed)", now.data_dir)
                      : fmt::format(" (the saved run had --data_dir={}, now it is {})", saved.data_dir, now.data_dir);
  differences->insert(differences->end(), found.begin(), found.end());
  return absl::OkStatus();
}

std::string warm_start_yaml(const std::string& sha256) { return fmt::format("weights_sha256: {}\n", sha256); }

// The weights that --warm_start names now are those that the run began with.
absl::Status compare_warm_start(const TrainConfig& config, const std::string& sha256,
                                std::vector<std::string>* differences) {
  if (sha256.empty()) return absl::OkStatus();
  if (file_exists(join_path(config.output_dir, "warm_start.yaml"))) {
    return compare_file(config, "warm_start", warm_start_yaml(sha256), differences);
  }
  // Without a configuration it is no run yet, but an imported model.
  if (file_exists(join_path(config.output_dir, "config.yaml"))) {
    differences->push_back(fmt::format("warm_start: none in the saved run, weights {} now", sha256));
  }
  return absl::OkStatus();
}

absl::Status write_warm_start(const TrainConfig& config, const std::string& sha256) {
  const std::string path = join_path(config.output_dir, "warm_start.yaml");
  if (!sha256.empty()) return write_file_atomic(path, warm_start_yaml(sha256));
  return file_exists(path) ? remove_file(path) : absl::OkStatus();  // of a run that never came to a checkpoint
}

// A new run can go on from the weights of this one, if it has the same network.
std::string advice(const TrainConfig& config, bool same_network) {
  const std::string warm =
      fmt::format("; there, --warm_start={} begins with the weights of this one", config.output_dir);
  return fmt::format("Take what the saved run had, or another --output_dir{}", same_network ? warm : "");
}

}  // namespace

absl::Status check_continues_run(const TrainConfig& config, const ModelConfig& model, const RunData& data,
                                 const std::string& warm_start_sha256) {
  if (!holds_checkpoints(config.output_dir)) return absl::OkStatus();
  std::vector<std::string> differences;
  TrainConfig saved = config;
  if (const std::string path = join_path(config.output_dir, "config.yaml"); file_exists(path)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string yaml, read_file(path, kMaxFileBytes));
    saved = {};
    LOCKSTEP_RETURN_IF_ERROR(apply_yaml(yaml, path, &saved));
    differences = arithmetic_differences(saved, config);
  }
  const size_t settings = differences.size();
  LOCKSTEP_RETURN_IF_ERROR(compare_file(config, "model", to_yaml(model), &differences));
  const bool same_network = differences.size() == settings;
  LOCKSTEP_RETURN_IF_ERROR(compare_data(saved, config, data, &differences));
  LOCKSTEP_RETURN_IF_ERROR(compare_warm_start(config, warm_start_sha256, &differences));
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{} holds checkpoints of another run; continuing it would mix the two: {}. {}", config.output_dir,
                  fmt::join(differences, "; "), advice(config, same_network)));
}

absl::Status write_run_files(const TrainConfig& config, const ModelConfig& model, const RunData& data,
                             const std::optional<std::string>& warm_start_sha256) {
  if (warm_start_sha256) LOCKSTEP_RETURN_IF_ERROR(write_warm_start(config, *warm_start_sha256));
  LOCKSTEP_RETURN_IF_ERROR(write_file_atomic(join_path(config.output_dir, "data.yaml"), to_yaml(data)));
  LOCKSTEP_RETURN_IF_ERROR(write_file_atomic(join_path(config.output_dir, "model.yaml"), to_yaml(model)));
  return write_file_atomic(join_path(config.output_dir, "config.yaml"), to_yaml(config));
}

}  // namespace lockstep
