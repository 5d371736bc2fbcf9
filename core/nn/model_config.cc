// SPDX-License-Identifier: Apache-2.0
#include "core/nn/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/named_file.h"
#include "core/base/suggest.h"
#include "core/nn/yaml_reader.h"

namespace lockstep {
namespace {

constexpr int kMaxSide = 4096;      // pixels
constexpr int kMaxChannels = 4096;  // image depth, filters
constexpr int kMaxUnits = 1 << 20;
constexpr int kMaxLayers = 256;
constexpr uint64_t kMaxFileBytes = 1 << 20;

const std::vector<std::string>& layer_kinds() {
  static const std::vector<std::string> kinds{"conv", "max_pool", "dense", "dropout"};
  return kinds;
}

absl::Status read_padding(const YamlMapping& map, Padding* padding) {
  int choice = *padding == Padding::kSame ? 0 : 1;
  LOCKSTEP_RETURN_IF_ERROR(map.read_choice("padding", {"same", "valid"}, &choice));
  *padding = choice == 0 ? Padding::kSame : Padding::kValid;
  return absl::OkStatus();
}

absl::Status read_activation(const YamlMapping& map, bool* relu) {
  int choice = *relu ? 1 : 0;
  LOCKSTEP_RETURN_IF_ERROR(map.read_choice("activation", {"none", "relu"}, &choice));
  *relu = choice == 1;
  return absl::OkStatus();
}

absl::Status read_conv(const YAML::Node& node, const std::string& path, LayerConfig* layer) {
  LOCKSTEP_ASSIGN_OR_RETURN(
      const auto map, YamlMapping::open(node, path, "conv", {"filters", "kernel", "stride", "padding", "activation"}));
  ConvConfig conv;
  LOCKSTEP_RETURN_IF_ERROR(map.read_int("filters", 1, kMaxChannels, true, &conv.filters));
  LOCKSTEP_RETURN_IF_ERROR(map.read_int("kernel", 1, kMaxSide, true, &conv.kernel));
  LOCKSTEP_RETURN_IF_ERROR(map.read_int("stride", 1, kMaxSide, false, &conv.stride));
  LOCKSTEP_RETURN_IF_ERROR(read_padding(map, &conv.padding));
  LOCKSTEP_RETURN_IF_ERROR(read_activation(map, &conv.relu));
  layer->kind = conv;
  return absl::OkStatus();
}

absl::Status read_max_pool(const YAML::Node& node, const std::string& path, LayerConfig* layer) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto map, YamlMapping::open(node, path, "max_pool", {"window", "stride", "padding"}));
  MaxPoolConfig pool;
  LOCKSTEP_RETURN_IF_ERROR(map.read_int("window", 1, 16, true, &pool.window));
  pool.stride = pool.window;
  LOCKSTEP_RETURN_IF_ERROR(map.read_int("stride", 1, kMaxSide, false, &pool.stride));
  LOCKSTEP_RETURN_IF_ERROR(read_padding(map, &pool.padding));
  layer->kind = pool;
  return absl::OkStatus();
}

absl::Status read_dense(const YAML::Node& node, const std::string& path, LayerConfig* layer) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto map, YamlMapping::open(node, path, "dense", {"units", "activation"}));
  DenseConfig dense;
  LOCKSTEP_RETURN_IF_ERROR(map.read_int("units", 1, kMaxUnits, true, &dense.units));
  LOCKSTEP_RETURN_IF_ERROR(read_activation(map, &dense.relu));
  layer->kind = dense;
  return absl::OkStatus();
}

absl::Status read_dropout(const YAML::Node& node, const std::string& path, LayerConfig* layer) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto map, YamlMapping::open(node, path, "dropout", {"rate"}));
  DropoutConfig dropout;
  LOCKSTEP_RETURN_IF_ERROR(map.read_double("rate", 0, 0.999, true, &dropout.rate));
  layer->kind = dropout;
  return absl::OkStatus();
}

absl::StatusOr<LayerConfig> read_layer(const YAML::Node& node, const std::string& path) {
  LayerConfig layer{.kind = {}, .line = yaml_line(node)};
  if (!node.IsMap() || node.size() != 1) {
    return absl::InvalidArgumentError(fmt::format("{}: a layer is one of {}, as in `- dense: {{units: 10}}`",
                                                  yaml_place(path, node), fmt::join(layer_kinds(), ", ")));
  }
  const std::string kind = node.begin()->first.Scalar();
  const YAML::Node body = node.begin()->second;
  absl::Status status =
      absl::InvalidArgumentError(fmt::format("{}: unknown layer `{}`{}; known: {}", yaml_place(path, node), kind,
                                             did_you_mean(kind, layer_kinds()), fmt::join(layer_kinds(), ", ")));
  if (kind == "conv") status = read_conv(body, path, &layer);
  if (kind == "max_pool") status = read_max_pool(body, path, &layer);
  if (kind == "dense") status = read_dense(body, path, &layer);
  if (kind == "dropout") status = read_dropout(body, path, &layer);
  if (!status.ok()) return status;
  return layer;
}

absl::Status read_image(const YAML::Node& node, const std::string& path, ModelConfig* config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto map, YamlMapping::open(node, path, "image", {"height", "width", "depth"}));
  LOCKSTEP_RETURN_IF_ERROR(map.read_int("height", 1, kMaxSide, true, &config->height));
  LOCKSTEP_RETURN_IF_ERROR(map.read_int("width", 1, kMaxSide, true, &config->width));
  config->depth = 1;
  return map.read_int("depth", 1, kMaxChannels, false, &config->depth);
}

absl::StatusOr<ModelConfig> read_model(std::string_view yaml, const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const YAML::Node root, parse_yaml(yaml, path));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto map, YamlMapping::open(root, path, "the model", {"image", "classes", "layers"}));
  for (const char* key : {"image", "layers"}) {
    if (!map.has(key)) return absl::InvalidArgumentError(fmt::format("{}: the model needs the key `{}`", path, key));
  }
  ModelConfig config;
  config.path = path;
  LOCKSTEP_RETURN_IF_ERROR(read_image(map.at("image"), path, &config));
  LOCKSTEP_RETURN_IF_ERROR(map.read_int("classes", 1, kMaxUnits, true, &config.classes));
  const YAML::Node layers = map.at("layers");
  if (!layers.IsSequence() || layers.size() == 0 || layers.size() > kMaxLayers) {
    return absl::InvalidArgumentError(
        fmt::format("{}: `layers` must be a list of 1 to {} layers", yaml_place(path, layers), kMaxLayers));
  }
  for (const YAML::Node& node : layers) {
    LOCKSTEP_ASSIGN_OR_RETURN(LayerConfig layer, read_layer(node, path));
    config.layers.push_back(layer);
  }
  return config;
}

const char* padding_name(Padding padding) { return padding == Padding::kSame ? "same" : "valid"; }
const char* activation_name(bool relu) { return relu ? "relu" : "none"; }

std::string layer_yaml(const ConvConfig& c) {
  return fmt::format("conv: {{filters: {}, kernel: {}, stride: {}, padding: {}, activation: {}}}", c.filters, c.kernel,
                     c.stride, padding_name(c.padding), activation_name(c.relu));
}
std::string layer_yaml(const MaxPoolConfig& c) {
  return fmt::format("max_pool: {{window: {}, stride: {}, padding: {}}}", c.window, c.stride, padding_name(c.padding));
}
std::string layer_yaml(const DenseConfig& c) {
  return fmt::format("dense: {{units: {}, activation: {}}}", c.units, activation_name(c.relu));
}
std::string layer_yaml(const DropoutConfig& c) { return fmt::format("dropout: {{rate: {}}}", c.rate); }

}  // namespace

absl::StatusOr<ModelConfig> parse_model_config(std::string_view yaml, const std::string& path) {
  try {
    return read_model(yaml, path);
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(fmt::format("{}:{}: {}", path, e.mark.line + 1, e.msg));
  }
}

absl::StatusOr<ModelConfig> load_model_config(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(
      const std::string text,
      read_named_file(path, kMaxFileBytes,
                      "the description of a network, such as configs/models/mnist_cnn.yaml of Lockstep's repository"));
  return parse_model_config(text, path);
}

std::string to_yaml(const ModelConfig& config) {
  std::string out = fmt::format("image: {{height: {}, width: {}, depth: {}}}\nclasses: {}\nlayers:\n", config.height,
                                config.width, config.depth, config.classes);
  for (const LayerConfig& layer : config.layers) {
    out += "  - " + std::visit([](const auto& kind) { return layer_yaml(kind); }, layer.kind) + "\n";
  }
  return out;
}

}  // namespace lockstep
