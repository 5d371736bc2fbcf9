// SPDX-License-Identifier: Apache-2.0
// The layers as the configuration lists them, for those who describe a network in another language: Network fuses a
// convolution with the max-pool behind it, here they are two.
#pragma once

#include <string>
#include <vector>

#include "core/nn/layer.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"

namespace lockstep {

struct ListedLayer {
  std::string name;  // as TensorFlow names it: "conv2d", "max_pooling2d", "dense_1"
  LayerConfig config;
  FeatureShape input, output;
  const Param* kernel = nullptr;  // of convolutions and dense layers; borrowed from the network
  const Param* bias = nullptr;
};

// `network` was built from `config`, and is borrowed.
std::vector<ListedLayer> list_layers(const ModelConfig& config, const Network& network);

}  // namespace lockstep
