// SPDX-License-Identifier: Apache-2.0
#include "core/nn/trained_model.h"

#include <fmt/format.h>

#include "core/base/file.h"
#include "core/nn/checkpoint.h"
#include "core/nn/network.h"
#include "io/tensor_bundle.h"

namespace lockstep {
namespace {

constexpr const char* kModelYaml = "model.yaml";  // core/train/run_directory.h writes it
constexpr std::string_view kExpected =
    "expected a run directory (--output_dir of mnist_train) or a checkpoint (such as out/model.ckpt-200)";

absl::Status not_a_model(const std::string& path, std::string_view found) {
  return absl::InvalidArgumentError(fmt::format("not a model: {}: {}; {}", path, found, kExpected));
}

absl::StatusOr<TrainedModel> from_checkpoint(const LoadedCheckpoint& checkpoint, const ModelConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(config));
  TrainedModel model;
  model.config = config;
  model.weights = AlignedBuffer<float>(static_cast<size_t>(network.params().buffer_size()));
  for (const Param& param : network.params().params()) {
    const std::span<float> values(model.weights.data() + param.offset, static_cast<size_t>(param.size));
    LOCKSTEP_RETURN_IF_ERROR(checkpoint.read(param.name, param.shape, values));
  }
  model.global_step = checkpoint.global_step();
  model.origin = checkpoint.prefix();
  return model;
}

absl::StatusOr<TrainedModel> from_directory(const std::string& directory, const ModelConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(LatestCheckpoint latest, latest_checkpoint(directory));
  if (!latest.checkpoint) return not_a_model(directory, "a directory without a checkpoint");
  LOCKSTEP_ASSIGN_OR_RETURN(TrainedModel model, from_checkpoint(*latest.checkpoint, config));
  model.warnings = std::move(latest.warnings);
  return model;
}

absl::StatusOr<TrainedModel> from_prefix(const std::string& prefix, const ModelConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const LoadedCheckpoint checkpoint, load_checkpoint(prefix));
  return from_checkpoint(checkpoint, config);
}

absl::StatusOr<TrainedModel> load_directory(const std::string& path) {
  const std::string yaml = join_path(path, kModelYaml);
  if (!file_exists(yaml)) return not_a_model(path, "a directory without a model.yaml");
  LOCKSTEP_ASSIGN_OR_RETURN(const ModelConfig config, load_model_config(yaml));
  return from_directory(path, config);
}

absl::StatusOr<TrainedModel> load_file(const std::string& path) {
  const auto prefix = bundle_prefix(path);
  if (!prefix.ok()) return file_exists(path) ? not_a_model(path, "a file of another kind") : prefix.status();
  const std::string yaml = join_path(directory_name(*prefix), kModelYaml);
  if (!file_exists(yaml)) {
    return absl::NotFoundError(fmt::format(
        "{}: a checkpoint holds weights, not the network, and there is no {} beside it that describes it: copy that of "
        "the training run there",
        path, yaml));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const ModelConfig config, load_model_config(yaml));
  return from_prefix(*prefix, config);
}

}  // namespace

absl::StatusOr<TrainedModel> load_trained_model(const std::string& path) {
  return is_directory(path) ? load_directory(path) : load_file(path);
}

absl::StatusOr<TrainedModel> load_trained_model(const std::string& path, const ModelConfig& config) {
  if (is_directory(path)) return from_directory(path, config);
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string prefix, bundle_prefix(path));
  return from_prefix(prefix, config);
}

}  // namespace lockstep
