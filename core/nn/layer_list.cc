// SPDX-License-Identifier: Apache-2.0
#include "core/nn/layer_list.h"

#include <fmt/format.h>

#include <map>

#include "core/base/check.h"

namespace lockstep {
namespace {

class Lister {
 public:
  explicit Lister(const Network& network) : params_(network.params().params()), at_(network.input()) {}

  ListedLayer list(const LayerConfig& config) {
    ListedLayer layer{.name = {}, .config = config, .input = at_, .output = at_};
    std::visit([&](const auto& kind) { describe(kind, &layer); }, config.kind);
    at_ = layer.output;
    return layer;
  }

 private:
  void describe(const ConvConfig& c, ListedLayer* layer) {
    layer->name = unique_name("conv2d");
    layer->output = windowed(c.kernel, c.stride, c.padding, c.filters);
    take_params(layer);
  }
  void describe(const MaxPoolConfig& c, ListedLayer* layer) {
    layer->name = unique_name("max_pooling2d");
    layer->output = windowed(c.window, c.stride, c.padding, at_.channels);
  }
  void describe(const DenseConfig& c, ListedLayer* layer) {
    layer->name = unique_name("dense");
    layer->output = {1, 1, c.units};
    take_params(layer);
  }
  void describe(const DropoutConfig&, ListedLayer* layer) { layer->name = unique_name("dropout"); }

  FeatureShape windowed(int window, int stride, Padding padding, int channels) const {
    return {window_dim(at_.height, window, stride, padding).out, window_dim(at_.width, window, stride, padding).out,
            channels};
  }

  std::string unique_name(const std::string& base) {
    const int index = used_names_[base]++;
    return index == 0 ? base : fmt::format("{}_{}", base, index);
  }

  // The table has kernel and bias of each layer in the order of the layers.
  void take_params(ListedLayer* layer) {
    LOCKSTEP_CHECK(next_param_ + 1 < params_.size());
    layer->kernel = &params_[next_param_++];
    layer->bias = &params_[next_param_++];
    LOCKSTEP_CHECK_EQ(layer->kernel->name, layer->name + "/kernel");
    LOCKSTEP_CHECK_EQ(layer->bias->size, layer->output.channels);
  }

  const std::vector<Param>& params_;
  FeatureShape at_;
  std::map<std::string, int> used_names_;
  size_t next_param_ = 0;
};

}  // namespace

std::vector<ListedLayer> list_layers(const ModelConfig& config, const Network& network) {
  Lister lister(network);
  std::vector<ListedLayer> layers;
  for (const LayerConfig& layer : config.layers) layers.push_back(lister.list(layer));
  return layers;
}

}  // namespace lockstep
