// SPDX-License-Identifier: Apache-2.0
#include "core/nn/trained_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "core/base/file.h"
#include "core/base/suggest.h"
#include "core/nn/checkpoint.h"
#include "core/nn/import/checkpoint_names.h"
#include "core/nn/import/graph_import.h"
#include "core/nn/import/onnx_import.h"
#include "core/nn/layer_list.h"
#include "core/nn/network.h"
#include "io/proto/saved_model.pb.h"
#include "io/protobuf_bytes.h"
#include "io/saved_model.h"
#include "io/tensor_bundle.h"
#include "io/tensor_bundle_names.h"

namespace lockstep {
namespace {

constexpr const char* kModelYaml = "model.yaml";                              // core/train/run_directory.h writes it
constexpr uint64_t kMaxModelFileBytes = std::numeric_limits<int32_t>::max();  // a protobuf's own limit
constexpr std::string_view kExpected =
    "expected a run directory (--output_dir of mnist_train), a SavedModel, an ONNX file (.onnx) or a checkpoint (such "
    "as out/model.ckpt-200)";

absl::Status not_a_model(const std::string& path, std::string_view found) {
  return absl::InvalidArgumentError(fmt::format("{}: not a model: {}; {}", path, found, kExpected));
}

absl::Status missing(const std::string& path) {
  const std::vector<std::string> beside = bundles_in(directory_name(path));
  const std::string found =
      beside.empty() ? "" : fmt::format("; the checkpoints there are {}", fmt::join(beside, ", "));
  const std::string name = base_name(strip_bundle_suffix(path).value_or(path));
  return absl::NotFoundError(
      fmt::format("{}: no such file or directory; {}{}{}", path, kExpected, found, did_you_mean(name, beside)));
}

// --- Our own checkpoints ---

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

absl::StatusOr<TrainedModel> from_run(const std::string& directory, const ModelConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(LatestCheckpoint latest, latest_checkpoint(directory));
  if (!latest.checkpoint) return not_a_model(directory, "a directory without a checkpoint");
  LOCKSTEP_ASSIGN_OR_RETURN(TrainedModel model, from_checkpoint(*latest.checkpoint, config));
  model.warnings = std::move(latest.warnings);
  return model;
}

// --- Foreign files ---

// 0 when the checkpoint does not tell.
absl::StatusOr<int64_t> step_of(const TensorBundleReader& reader) {
  const auto entry = reader.entries().find(kGlobalStepVariable);
  if (entry == reader.entries().end() || !entry->second.shape.empty()) return int64_t{0};
  LOCKSTEP_ASSIGN_OR_RETURN(const auto values, reader.read_int64(kGlobalStepVariable));
  return std::max<int64_t>(values.at(0), 0);
}

absl::StatusOr<TrainedModel> from_foreign_checkpoint(const TensorBundleReader& reader, const ModelConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(config));
  TrainedModel model;
  model.config = config;
  model.origin = reader.prefix();
  model.weights = AlignedBuffer<float>(static_cast<size_t>(network.params().buffer_size()));
  LOCKSTEP_ASSIGN_OR_RETURN(model.sources, match_parameters(reader, network.params()));
  for (size_t i = 0; i < model.sources.size(); ++i) {
    const Param& param = network.params().params()[i];
    const std::span<float> values(model.weights.data() + param.offset, static_cast<size_t>(param.size));
    LOCKSTEP_RETURN_IF_ERROR(reader.read(model.sources[i], values));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(model.global_step, step_of(reader));
  return model;
}

absl::StatusOr<TrainedModel> from_prefix(const std::string& prefix, const ModelConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, TensorBundleReader::open(prefix));
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(config));
  const auto& entries = reader->entries();
  const bool ours = entries.contains(kGlobalStepVariable) && entries.contains(network.params()[0].name);
  if (!ours) return from_foreign_checkpoint(*reader, config);
  LOCKSTEP_ASSIGN_OR_RETURN(const LoadedCheckpoint checkpoint, load_checkpoint(prefix));
  return from_checkpoint(checkpoint, config);
}

// Of a directory of ours the newest sound one.
absl::StatusOr<TrainedModel> from_any_checkpoint(const std::string& path, const ModelConfig& config) {
  if (is_directory(path)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(config));
    const auto latest = latest_checkpoint(path);
    if (latest.ok() && latest->checkpoint && latest->checkpoint->has(network.params()[0].name)) {
      return from_run(path, config);
    }
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string prefix, bundle_prefix(path));
  return from_prefix(prefix, config);
}

absl::StatusOr<TrainedModel> from_saved_model(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const SavedModelFiles files, read_saved_model(path));
  LOCKSTEP_ASSIGN_OR_RETURN(TrainedModel model,
                            import_graph(*files.meta_graph, files.variables.get(), files.directory));
  if (files.variables == nullptr) return model;
  LOCKSTEP_ASSIGN_OR_RETURN(model.global_step, step_of(*files.variables));
  return model;
}

// `<prefix>.meta`, the graph that TensorFlow 1 writes beside a checkpoint.
absl::StatusOr<TrainedModel> from_meta_graph(const std::string& prefix) {
  const std::string path = prefix + ".meta";
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string bytes, read_file(path, kMaxModelFileBytes));
  proto::MetaGraphDef meta_graph;
  if (bytes.empty() || !parse_protobuf(bytes, &meta_graph)) {
    return absl::DataLossError(fmt::format("{}: {} bytes that are no MetaGraphDef", path, bytes.size()));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, TensorBundleReader::open(prefix));
  LOCKSTEP_ASSIGN_OR_RETURN(TrainedModel model, import_graph(meta_graph, reader.get(), path));
  LOCKSTEP_ASSIGN_OR_RETURN(model.global_step, step_of(*reader));
  model.origin = prefix;
  return model;
}

absl::StatusOr<TrainedModel> from_onnx(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string bytes, read_file(path, kMaxModelFileBytes));
  return import_onnx(bytes, path);
}

// --- What is it? ---

// " (it holds …: name that file)", or "". A directory says which of its models is meant by its layout; ONNX has none.
std::string onnx_files_in(const std::string& directory) {
  auto names = list_directory(directory);
  if (!names.ok()) return "";
  std::erase_if(*names, [](const std::string& name) { return !name.ends_with(".onnx"); });
  if (names->empty()) return "";
  return fmt::format(" (it holds {}: name {})", fmt::join(*names, ", "),
                     names->size() == 1 ? "that file" : "one of these files");
}

enum class Kind { kRun, kSavedModel, kOnnx, kCheckpoint };

absl::StatusOr<Kind> kind_of(const std::string& path) {
  if (is_directory(path)) {
    if (file_exists(join_path(path, kModelYaml))) return Kind::kRun;
    if (saved_model_directory(path).ok()) return Kind::kSavedModel;
    if (bundle_prefix(path).ok()) return Kind::kCheckpoint;
    return not_a_model(path,
                       "a directory without a model.yaml, a saved_model.pb or a checkpoint" + onnx_files_in(path));
  }
  if (base_name(path) == "saved_model.pb" && file_exists(path)) return Kind::kSavedModel;
  if (path.ends_with(".onnx") && file_exists(path)) return Kind::kOnnx;
  const auto prefix = bundle_prefix(path);
  if (prefix.ok()) return Kind::kCheckpoint;
  if (!file_exists(path)) return missing(path);
  if (is_stream(path)) {
    return not_a_model(path, "a pipe or a device, of which no part can be read twice: give a file, by its own name");
  }
  return strip_bundle_suffix(path) ? prefix.status() : not_a_model(path, "a file of another kind");
}

absl::StatusOr<TrainedModel> load_checkpoint_with_graph(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string prefix, bundle_prefix(path));
  const std::string yaml = join_path(directory_name(prefix), kModelYaml);
  if (file_exists(yaml)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const ModelConfig config, load_model_config(yaml));
    return from_prefix(prefix, config);
  }
  if (file_exists(prefix + ".meta")) return from_meta_graph(prefix);
  return absl::NotFoundError(
      fmt::format("{}: a checkpoint holds weights, not the network, and there is neither {} beside it, which would "
                  "describe it, nor TensorFlow's graph {}.meta: copy the model.yaml of the training run there, or take "
                  "`lockstep import --source {} --model FILE`",
                  path, yaml, prefix, prefix));
}

// --- Comparing networks ---

// Padding that adds nothing is none: a graph that pads by numbers cannot tell the two apart.
Padding effective_padding(const FeatureShape& in, int window, int stride, Padding padding) {
  if (window > in.height || window > in.width) return padding;
  for (const int size : {in.height, in.width}) {
    const WindowDim same = window_dim(size, window, stride, Padding::kSame);
    if (same.pad_before != 0 || same.out != window_dim(size, window, stride, Padding::kValid).out) return padding;
  }
  return Padding::kValid;
}

std::vector<LayerConfig> layers_that_compute(const ModelConfig& config, const Network& network) {
  std::vector<LayerConfig> layers;
  for (const ListedLayer& listed : list_layers(config, network)) {
    LayerConfig layer = listed.config;
    if (std::holds_alternative<DropoutConfig>(layer.kind)) continue;
    if (auto* conv = std::get_if<ConvConfig>(&layer.kind)) {
      conv->padding = effective_padding(listed.input, conv->kernel, conv->stride, conv->padding);
    } else if (auto* pool = std::get_if<MaxPoolConfig>(&layer.kind)) {
      pool->padding = effective_padding(listed.input, pool->window, pool->stride, pool->padding);
    }
    layers.push_back(layer);
  }
  return layers;
}

std::string layer_text(const LayerConfig& layer) {
  ModelConfig one;
  one.layers = {layer};
  const std::string yaml = to_yaml(one);
  const size_t begin = yaml.rfind("  - ") + 4;
  return yaml.substr(begin, yaml.size() - begin - 1);
}

}  // namespace

absl::Status same_network(const ModelConfig& wanted, const ModelConfig& found, const std::string& found_in) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Network a, Network::build(wanted));
  LOCKSTEP_ASSIGN_OR_RETURN(const Network b, Network::build(found));
  const auto differ = [&](const std::string& what, const std::string& ours, const std::string& theirs) {
    return absl::InvalidArgumentError(
        fmt::format("{}: another network: {} {} in {}, but {} there", found_in, what, ours, wanted.path, theirs));
  };
  // Of the variables that both have: a shape tells most about where two networks part.
  for (size_t i = 0; i < std::min(a.params().params().size(), b.params().params().size()); ++i) {
    const Param &ours = a.params().params()[i], &theirs = b.params().params()[i];
    if (ours.name != theirs.name) break;  // the layers differ
    if (ours.shape != theirs.shape) {
      return differ(ours.name + " has shape", shape_text(ours.shape), shape_text(theirs.shape));
    }
  }
  const auto ours = layers_that_compute(wanted, a), theirs = layers_that_compute(found, b);
  for (size_t i = 0; i < std::max(ours.size(), theirs.size()); ++i) {
    const std::string x = i < ours.size() ? fmt::format("`{}`", layer_text(ours[i])) : "missing";
    const std::string y = i < theirs.size() ? fmt::format("`{}`", layer_text(theirs[i])) : "missing";
    if (x != y) return differ(fmt::format("layer {} is", i + 1), x, y);
  }
  const bool flattened = std::holds_alternative<DenseConfig>(ours[0].kind);
  if (flattened || a.input().to_string() == b.input().to_string()) return absl::OkStatus();
  return differ("images are", a.input().to_string(), b.input().to_string());
}

namespace {

absl::StatusOr<TrainedModel> load_whatever_it_is(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Kind kind, kind_of(path));
  switch (kind) {
    case Kind::kRun: {
      LOCKSTEP_ASSIGN_OR_RETURN(const ModelConfig config, load_model_config(join_path(path, kModelYaml)));
      return from_run(path, config);
    }
    case Kind::kSavedModel:
      return from_saved_model(path);
    case Kind::kOnnx:
      return from_onnx(path);
    case Kind::kCheckpoint:
      return load_checkpoint_with_graph(path);
  }
  return not_a_model(path, "unknown");
}

absl::StatusOr<TrainedModel> load_for_network(const std::string& path, const ModelConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Kind kind, kind_of(path));
  if (kind == Kind::kCheckpoint) return from_any_checkpoint(path, config);
  LOCKSTEP_ASSIGN_OR_RETURN(TrainedModel model, load_whatever_it_is(path));
  LOCKSTEP_RETURN_IF_ERROR(same_network(config, model.config, path));
  model.config = config;
  model.training_warnings.clear();  // the description has the dropouts that the file lacks
  return model;
}

// A model that answers NaN to everything would look like one that works.
absl::StatusOr<TrainedModel> if_finite(absl::StatusOr<TrainedModel> model) {
  if (!model.ok()) return model;
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(model->config));
  const Param* param = first_nonfinite(network.params(), model->weights.data());
  if (param == nullptr) return model;
  return absl::OutOfRangeError(
      fmt::format("{}: non-finite {}: it holds NaN or infinity, so that every prediction would be NaN. The training "
                  "that wrote it has diverged: take an earlier checkpoint, or train with a lower learning rate",
                  model->origin, param->name));
}

}  // namespace

absl::StatusOr<TrainedModel> load_trained_model(const std::string& path) {
  return if_finite(load_whatever_it_is(path));
}

absl::StatusOr<TrainedModel> load_trained_model(const std::string& path, const ModelConfig& config) {
  return if_finite(load_for_network(path, config));
}

namespace {

// Whether nothing would be lost by writing this model here: all that is there is what a killed write_run_directory() of
// it leaves, the same network and files of a checkpoint without the index that would make it one. Another network may
// be somebody's work, of which there is no copy.
bool is_abandoned(const std::string& directory, const std::string& yaml) {
  const auto names = list_directory(directory);
  const bool leftovers =
      names.ok() && std::all_of(names->begin(), names->end(), [](const std::string& name) {
        return name.starts_with(kModelYaml) || name.starts_with("model.ckpt-") || name.starts_with("checkpoint.tmp.");
      });
  if (!leftovers) return false;
  const auto found = read_file(join_path(directory, kModelYaml), kMaxModelFileBytes);
  return found.ok() && *found == yaml;
}

absl::Status write_run_files(const TrainedModel& model, const Network& network, const std::string& yaml,
                             const std::string& directory) {
  CheckpointData data{.global_step = model.global_step, .tensors = {}};
  for (const Param& param : network.params().params()) {
    const std::span<const float> values(model.weights.data() + param.offset, static_cast<size_t>(param.size));
    data.tensors.push_back({param.name, param.shape, values});
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const auto manager, CheckpointManager::create(directory));
  LOCKSTEP_RETURN_IF_ERROR(write_file_atomic(join_path(directory, kModelYaml), yaml));
  LOCKSTEP_RETURN_IF_ERROR(manager->save_async(data));
  return manager->wait();
}

// What write_run_files() made in a directory that held `before`. The index first: without it the rest is no checkpoint.
void remove_run_files(const std::string& directory, const std::vector<std::string>& before) {
  auto names = list_directory(directory);
  if (!names.ok()) return;
  std::stable_partition(names->begin(), names->end(), [](const std::string& name) { return name.ends_with(".index"); });
  for (const std::string& name : *names) {
    const bool ours = name == kModelYaml || name == "checkpoint" || name.starts_with("model.ckpt-");
    if (ours && !std::binary_search(before.begin(), before.end(), name)) {
      remove_file(join_path(directory, name)).IgnoreError();
    }
  }
}

}  // namespace

absl::Status write_run_directory(const TrainedModel& model, const std::string& directory) {
  const std::string yaml = to_yaml(model.config);
  const bool is_new = !is_directory(directory);
  const bool has_network = file_exists(join_path(directory, kModelYaml));
  if (bundle_prefix(directory).ok() || (has_network && !is_abandoned(directory, yaml))) {
    return absl::AlreadyExistsError(
        fmt::format("{} holds a run or a checkpoint already; name another directory, or remove it first", directory));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(model.config));
  std::vector<std::string> before;
  if (!is_new) {
    LOCKSTEP_ASSIGN_OR_RETURN(before, list_directory(directory));
  }
  const absl::Status status = write_run_files(model, network, yaml, directory);
  if (status.ok()) return status;
  // Half a run would be in the way of the next try. The first error is the one to tell.
  if (is_new) {
    remove_tree(directory).IgnoreError();
  } else {
    remove_run_files(directory, before);
  }
  return status;
}

}  // namespace lockstep
