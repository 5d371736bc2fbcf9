// SPDX-License-Identifier: Apache-2.0
#include "core/nn/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <future>
#include <system_error>

#include "core/base/check.h"
#include "core/base/file.h"
#include "core/base/suggest.h"
#include "io/checkpoint_state.h"
#include "io/tensor_bundle.h"
#include "io/tensor_bundle_names.h"

namespace lockstep {
namespace {

constexpr std::string_view kNamePrefix = "model.ckpt-";
constexpr std::string_view kStateName = "checkpoint";

std::string checkpoint_name(int64_t step) { return fmt::format("{}{}", kNamePrefix, step); }

// The step of `model.ckpt-<step>`, or nothing for another name (leading zeros included: we do not write them).
std::optional<int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kNamePrefix)) return std::nullopt;
  const std::string_view digits = name.substr(kNamePrefix.size());
  int64_t step = -1;
  std::from_chars(digits.data(), digits.data() + digits.size(), step);
  return step >= 0 && checkpoint_name(step) == name ? std::optional(step) : std::nullopt;
}

// `model.ckpt-<step>` of a file that belongs to it: what stands before its suffix.
std::string_view owner_of(std::string_view file_name) {
  return file_name.substr(0, file_name.find('.', std::min(file_name.size(), kNamePrefix.size())));
}

// Names of the checkpoints in a directory listing that have an index, by step.
std::vector<std::string> checkpoints_in(const std::vector<std::string>& files) {
  std::vector<int64_t> steps;
  for (const std::string& file : files) {
    if (!file.ends_with(".index")) continue;
    if (const auto step = step_of(std::string_view(file).substr(0, file.size() - 6))) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  std::vector<std::string> names;
  for (const int64_t step : steps) names.push_back(checkpoint_name(step));
  return names;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// All checkpoints of a directory, oldest first: those that the `checkpoint` file does not name, by step, then those
// that it names, in its order.
std::vector<std::string> order_names(const std::vector<std::string>& listed, const CheckpointState& state) {
  // TensorFlow may have named them by absolute path.
  const auto local = [&](const std::string& name) {
    return contains(listed, base_name(name)) ? base_name(name) : name;
  };
  std::vector<std::string> named;
  const auto append_last = [&](const std::string& name) {
    named.erase(std::remove(named.begin(), named.end(), name), named.end());
    named.push_back(name);
  };
  for (const std::string& name : state.all) append_last(local(name));
  if (!state.latest.empty()) append_last(local(state.latest));
  std::vector<std::string> ordered;
  for (const std::string& name : listed) {
    if (!contains(named, name)) ordered.push_back(name);
  }
  ordered.insert(ordered.end(), named.begin(), named.end());
  return ordered;
}

// What a killed run may leave: `x.tmp.<pid>` of our files, and data whose index never came (or went first).
bool is_leftover(const std::string& file, const std::vector<std::string>& complete) {
  const size_t temporary = file.rfind(".tmp.");
  const std::string_view target = std::string_view(file).substr(0, temporary);
  const std::string owner(owner_of(target));
  if (temporary != std::string::npos) return target == kStateName || step_of(owner).has_value();
  return file.find(".data-") != std::string::npos && step_of(owner).has_value() && !contains(complete, owner);
}

}  // namespace

// Fills a LoadedCheckpoint from a bundle.
class CheckpointLoader {
 public:
  static absl::StatusOr<LoadedCheckpoint> load(const std::string& path) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, TensorBundleReader::open(path));
    LoadedCheckpoint checkpoint;
    checkpoint.prefix_ = reader->prefix();
    LOCKSTEP_ASSIGN_OR_RETURN(checkpoint.global_step_, read_step(*reader));
    for (const auto& [name, entry] : reader->entries()) {
      if (entry.dtype != TensorDtype::kFloat32) continue;
      LoadedCheckpoint::Variable variable;
      variable.shape = entry.shape;
      variable.values.resize(entry.size_bytes / sizeof(float));
      LOCKSTEP_RETURN_IF_ERROR(reader->read(name, variable.values));
      checkpoint.variables_.emplace(name, std::move(variable));
    }
    return checkpoint;
  }

 private:
  static absl::StatusOr<int64_t> read_step(const TensorBundleReader& reader) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto values, reader.read_int64(kGlobalStepVariable));
    if (values.size() == 1 && values[0] >= 0) return values[0];
    return absl::DataLossError(fmt::format("{}: `{}`: expected one number of at least 0, found {} values: {}",
                                           reader.prefix(), kGlobalStepVariable, values.size(),
                                           fmt::join(values, ", ")));
  }
};

std::vector<std::string> LoadedCheckpoint::names() const {
  std::vector<std::string> names;
  for (const auto& [name, variable] : variables_) names.push_back(name);
  return names;
}

absl::Status LoadedCheckpoint::read(std::string_view name, std::span<const int64_t> shape, std::span<float> out) const {
  const auto it = variables_.find(name);
  if (it == variables_.end()) {
    return absl::NotFoundError(
        fmt::format("{}: no float32 variable `{}`{}", prefix_, name, did_you_mean(name, names())));
  }
  const Variable& variable = it->second;
  if (!std::equal(shape.begin(), shape.end(), variable.shape.begin(), variable.shape.end()) ||
      out.size() != variable.values.size()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: variable `{}`: the model needs shape {}, the checkpoint has {}: "
                    "it belongs to another model",
                    prefix_, name, shape_text(shape), shape_text(variable.shape)));
  }
  std::copy(variable.values.begin(), variable.values.end(), out.begin());
  return absl::OkStatus();
}

absl::StatusOr<LoadedCheckpoint> load_checkpoint(const std::string& path) { return CheckpointLoader::load(path); }

absl::StatusOr<LatestCheckpoint> latest_checkpoint(const std::string& directory) {
  LatestCheckpoint latest;
  if (!file_exists(directory)) return latest;
  LOCKSTEP_ASSIGN_OR_RETURN(const auto files, list_directory(directory));
  CheckpointState state;
  if (contains(files, std::string(kStateName))) {
    auto read = read_checkpoint_state(join_path(directory, kStateName));
    if (read.ok()) {
      state = *std::move(read);
    } else {
      latest.warnings.push_back(
          fmt::format("{}; going by the names of the files instead", std::string(read.status().message())));
    }
  }
  auto names = order_names(checkpoints_in(files), state);
  std::reverse(names.begin(), names.end());
  for (const std::string& name : names) {
    auto loaded = CheckpointLoader::load(resolve_checkpoint(directory, name));
    if (loaded.ok()) {
      latest.checkpoint = *std::move(loaded);
      return latest;
    }
    latest.warnings.push_back(
        fmt::format("passing over checkpoint {}: {}", name, std::string(loaded.status().message())));
  }
  if (names.empty()) return latest;
  return absl::DataLossError(
      fmt::format("{}: none of its {} checkpoints can be used; remove them to start from step 0, or name another "
                  "directory:\n  {}",
                  directory, names.size(), fmt::join(latest.warnings, "\n  ")));
}

// Owns the snapshot and writes it. The background thread alone uses it between start() and wait().
class CheckpointManager::Writer {
 public:
  Writer(std::string directory, int keep) : directory_(std::move(directory)), keep_(static_cast<size_t>(keep)) {}
  ~Writer() { wait().IgnoreError(); }

  const std::string& directory() const { return directory_; }

  absl::Status clean() {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto files, list_directory(directory_));
    const auto complete = checkpoints_in(files);
    for (const std::string& file : files) {
      if (is_leftover(file, complete)) LOCKSTEP_RETURN_IF_ERROR(remove_file(join_path(directory_, file)));
    }
    // A damaged `checkpoint` file is latest_checkpoint()'s to report; the next save replaces it.
    const auto state = read_checkpoint_state(join_path(directory_, kStateName));
    for (const std::string& name : order_names(complete, state.value_or(CheckpointState{}))) {
      if (contains(complete, name)) names_.push_back(name);
    }
    return absl::OkStatus();
  }

  absl::Status wait() {
    if (pending_.valid()) result_ = pending_.get();
    return std::exchange(result_, absl::OkStatus());
  }

  // Waits and keeps the result for the next wait().
  void settle() {
    if (pending_.valid()) result_ = pending_.get();
  }

  // Requires that no write is in flight.
  void start(const CheckpointData& data) {
    take_snapshot(data);
    try {
      pending_ = std::async(std::launch::async, [this] { return write(); });
    } catch (const std::system_error&) {
      result_ = write();  // no thread to be had: late, but safe
    }
  }

 private:
  // Everything but the bytes of the snapshot.
  struct Variable {
    std::string name;
    std::vector<int64_t> shape;
    size_t first = 0, count = 0;  // in values_
  };

  void take_snapshot(const CheckpointData& data) {
    step_ = data.global_step;
    variables_.clear();
    values_.clear();
    size_t total = 0;
    for (const CheckpointTensor& tensor : data.tensors) total += tensor.values.size();
    values_.reserve(total);  // the same in every save: allocated once
    for (const CheckpointTensor& tensor : data.tensors) {
      variables_.push_back({tensor.name, tensor.shape, values_.size(), tensor.values.size()});
      values_.insert(values_.end(), tensor.values.begin(), tensor.values.end());
    }
  }

  absl::Status write() {
    const std::string name = checkpoint_name(step_);
    LOCKSTEP_RETURN_IF_ERROR(annotate(write_bundle(name), "cannot write checkpoint " + name));
    names_.erase(std::remove(names_.begin(), names_.end(), name), names_.end());
    names_.push_back(name);
    const size_t surplus = names_.size() - std::min(names_.size(), keep_);
    const std::vector<std::string> outdated(names_.begin(), names_.begin() + static_cast<std::ptrdiff_t>(surplus));
    names_.erase(names_.begin(), names_.begin() + static_cast<std::ptrdiff_t>(surplus));
    LOCKSTEP_RETURN_IF_ERROR(
        annotate(write_file_atomic(join_path(directory_, kStateName), checkpoint_state_text({name, names_})),
                 "checkpoint " + name + " is written, but not named as the newest"));
    return annotate(remove_checkpoints(outdated),
                    "checkpoint " + name + " is written, but older ones could not be deleted");
  }

  absl::Status write_bundle(const std::string& name) const {
    std::vector<BundleTensor> tensors;
    const std::span<const float> values = values_;
    for (const Variable& v : variables_) {
      tensors.push_back({v.name, TensorDtype::kFloat32, v.shape, bytes_of(values.subspan(v.first, v.count))});
    }
    tensors.push_back({kGlobalStepVariable, TensorDtype::kInt64, {}, bytes_of(std::span(&step_, 1))});
    return write_tensor_bundle(join_path(directory_, name), std::move(tensors));
  }

  // Index first: from then on the rest is no checkpoint any more, only a leftover.
  absl::Status remove_checkpoints(const std::vector<std::string>& names) const {
    if (names.empty()) return absl::OkStatus();
    for (const std::string& name : names) {
      LOCKSTEP_RETURN_IF_ERROR(remove_file(join_path(directory_, name + ".index")));
    }
    LOCKSTEP_ASSIGN_OR_RETURN(const auto files, list_directory(directory_));
    for (const std::string& file : files) {
      if (contains(names, std::string(owner_of(file)))) {
        LOCKSTEP_RETURN_IF_ERROR(remove_file(join_path(directory_, file)));
      }
    }
    return absl::OkStatus();
  }

  const std::string directory_;
  const size_t keep_;
  std::vector<std::string> names_;  // checkpoints in the directory, oldest first
  int64_t step_ = 0;
  std::vector<Variable> variables_;
  std::vector<float> values_;
  std::future<absl::Status> pending_;
  absl::Status result_;
};

CheckpointManager::CheckpointManager(std::unique_ptr<Writer> writer) : writer_(std::move(writer)) {}
CheckpointManager::~CheckpointManager() = default;

absl::StatusOr<std::unique_ptr<CheckpointManager>> CheckpointManager::create(const std::string& output_dir, int keep) {
  LOCKSTEP_CHECK_GE(keep, 1);
  LOCKSTEP_RETURN_IF_ERROR(make_directories(output_dir));
  auto writer = std::make_unique<Writer>(output_dir, keep);
  LOCKSTEP_RETURN_IF_ERROR(writer->clean());
  return std::unique_ptr<CheckpointManager>(new CheckpointManager(std::move(writer)));
}

absl::Status CheckpointManager::save_async(const CheckpointData& data) {
  absl::Status previous = writer_->wait();
  writer_->start(data);
  return previous;
}

absl::Status CheckpointManager::wait() { return writer_->wait(); }

absl::StatusOr<LatestCheckpoint> CheckpointManager::latest() {
  writer_->settle();
  return latest_checkpoint(writer_->directory());
}

}  // namespace lockstep
