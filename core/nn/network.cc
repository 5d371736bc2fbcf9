// SPDX-License-Identifier: Apache-2.0
#include "core/nn/network.h"

#include <fmt/format.h>

#include <map>
#include <optional>

#include "core/base/check.h"
#include "core/nn/layers/conv_layer.h"
#include "core/nn/layers/dense_layer.h"
#include "core/nn/layers/dropout_layer.h"
#include "core/nn/layers/pool_layer.h"

namespace lockstep {
namespace {

// Above this the flat buffer alone is 16 GiB, and element counts of one layer could leave int.
constexpr int64_t kMaxParameters = int64_t{1} << 32;
constexpr int64_t kMaxActivation = int64_t{1} << 28;

}  // namespace

std::string FeatureShape::to_string() const { return fmt::format("{}x{}x{}", height, width, channels); }

// Walks the layer list once; `at_` is the shape that the next layer gets.
class NetworkBuilder {
 public:
  explicit NetworkBuilder(const ModelConfig& config) : config_(config) {}

  absl::StatusOr<Network> build() {
    at_ = {config_.height, config_.width, config_.depth};
    network_.input_ = at_;
    network_.classes_ = config_.classes;
    for (size_t i = 0; i < config_.layers.size(); ++i) {
      next_pool_ = i + 1 < config_.layers.size() ? std::get_if<MaxPoolConfig>(&config_.layers[i + 1].kind) : nullptr;
      line_ = config_.layers[i].line;
      LOCKSTEP_RETURN_IF_ERROR(std::visit([this](const auto& kind) { return add(kind); }, config_.layers[i].kind));
      if (took_pool_) ++i;
      took_pool_ = false;
      LOCKSTEP_RETURN_IF_ERROR(check_size(network_.layers_.back()->name()));
    }
    LOCKSTEP_RETURN_IF_ERROR(check_last_layer());
    while (!network_.layers_[static_cast<size_t>(network_.first_trained_layer_)]->has_parameters()) {
      ++network_.first_trained_layer_;
    }
    return std::move(network_);
  }

 private:
  // "conv2d", then "conv2d_1", …
  std::string unique_name(const std::string& base) {
    const int index = used_names_[base]++;
    return index == 0 ? base : fmt::format("{}_{}", base, index);
  }

  absl::Status error(const std::string& name, const std::string& problem) const {
    const std::string place = line_ > 0 ? fmt::format("{}:{}", config_.path, line_) : config_.path;
    return absl::InvalidArgumentError(
        fmt::format("{}: layer {} got shape {}, {}", place, name, at_.to_string(), problem));
  }

  absl::Status add(const ConvConfig& c) {
    const std::string name = unique_name("conv2d");
    if (c.padding == Padding::kValid && (c.kernel > at_.height || c.kernel > at_.width)) {
      return error(name, fmt::format("needs at least {0}x{0} for a {0}x{0} kernel with padding valid", c.kernel));
    }
    const Conv2dParams conv{.N = 0,
                            .H = at_.height,
                            .W = at_.width,
                            .C = at_.channels,
                            .K = c.filters,
                            .R = c.kernel,
                            .S = c.kernel,
                            .stride = c.stride,
                            .padding = c.padding,
                            .relu = c.relu};
    LOCKSTEP_RETURN_IF_ERROR(check_parameters(name, double(c.kernel) * c.kernel * at_.channels * c.filters));
    const int64_t kernel = add_param(name + "/kernel", {c.kernel, c.kernel, at_.channels, c.filters});
    const int64_t bias = add_param(name + "/bias", {c.filters});
    at_ = {conv.OH(), conv.OW(), c.filters};
    std::optional<Pool2dParams> pool;
    if (next_pool_ != nullptr) {
      LOCKSTEP_ASSIGN_OR_RETURN(pool, pool_params(*next_pool_));
      took_pool_ = true;
      at_ = {pool->OH(), pool->OW(), pool->C};
    }
    network_.layers_.push_back(std::make_unique<ConvLayer>(name, conv, pool, kernel, bias));
    return absl::OkStatus();
  }

  absl::Status add(const MaxPoolConfig& c) {
    LOCKSTEP_ASSIGN_OR_RETURN(const Pool2dParams pool, pool_params(c));
    network_.layers_.push_back(std::make_unique<PoolLayer>(last_pool_name_, pool));
    at_ = {pool.OH(), pool.OW(), pool.C};
    return absl::OkStatus();
  }

  absl::StatusOr<Pool2dParams> pool_params(const MaxPoolConfig& c) {
    last_pool_name_ = unique_name("max_pooling2d");
    if (c.padding == Padding::kValid && (c.window > at_.height || c.window > at_.width)) {
      return error(last_pool_name_,
                   fmt::format("needs at least {0}x{0} for a {0}x{0} window with padding valid", c.window));
    }
    return Pool2dParams{.N = 0,
                        .H = at_.height,
                        .W = at_.width,
                        .C = at_.channels,
                        .window = c.window,
                        .stride = c.stride,
                        .padding = c.padding};
  }

  absl::Status add(const DenseConfig& c) {
    const std::string name = unique_name("dense");
    const int64_t inputs = at_.size();
    LOCKSTEP_RETURN_IF_ERROR(check_parameters(name, static_cast<double>(inputs) * c.units));
    const int64_t kernel = add_param(name + "/kernel", {inputs, c.units});
    const int64_t bias = add_param(name + "/bias", {c.units});
    network_.layers_.push_back(std::make_unique<DenseLayer>(name, at_, c.units, c.relu, kernel, bias));
    at_ = {1, 1, c.units};
    return absl::OkStatus();
  }

  absl::Status add(const DropoutConfig& c) {
    constexpr int64_t kMaxDropped = int64_t{1} << 24;  // dropout's random numbers are keyed by layer * 2^24 + unit
    const std::string name = unique_name("dropout");
    if (at_.size() > kMaxDropped) return error(name, fmt::format("needs at most {} units", kMaxDropped));
    network_.layers_.push_back(std::make_unique<DropoutLayer>(name, at_, static_cast<float>(c.rate), dropout_count_++));
    return absl::OkStatus();
  }

  int64_t add_param(const std::string& name, std::vector<int64_t> shape) {
    const int index = network_.params_.add(name, std::move(shape), network_.layer_count());
    return network_.params_[index].offset;
  }

  absl::Status check_parameters(const std::string& name, double count) const {
    if (count + static_cast<double>(network_.params_.buffer_size()) <= static_cast<double>(kMaxParameters)) {
      return absl::OkStatus();
    }
    return error(name, fmt::format("would have {:.0f} weights; a network may have {}", count, kMaxParameters));
  }

  absl::Status check_size(const std::string& name) const {
    if (at_.size() <= kMaxActivation) return absl::OkStatus();
    return error(name, fmt::format("needs an output of at most {} numbers", kMaxActivation));
  }

  absl::Status check_last_layer() const {
    const Layer& last = *network_.layers_.back();
    const auto* dense = std::get_if<DenseConfig>(&config_.layers.back().kind);
    if (dense == nullptr) {
      return error(last.name(), "but the last layer must be dense: it makes the logits");
    }
    if (dense->units != config_.classes) {
      return error(last.name(), fmt::format("but the last layer needs 1x1x{}: one logit a class (`units: {}`)",
                                            config_.classes, config_.classes));
    }
    if (dense->relu) return error(last.name(), "but logits need `activation: none`");
    return absl::OkStatus();
  }

  const ModelConfig& config_;
  Network network_;
  FeatureShape at_;
  std::map<std::string, int> used_names_;
  const MaxPoolConfig* next_pool_ = nullptr;  // the pool right behind the layer being added
  bool took_pool_ = false;
  std::string last_pool_name_;
  uint32_t dropout_count_ = 0;
  int line_ = 0;
};

absl::StatusOr<Network> Network::build(const ModelConfig& config) {
  LOCKSTEP_CHECK(!config.layers.empty());
  return NetworkBuilder(config).build();
}

double Network::train_flops() const {
  double flops = 0;
  for (int i = 0; i < layer_count(); ++i) {
    flops += layers_[static_cast<size_t>(i)]->flops() * (i > first_trained_layer_ ? 3 : 2);
  }
  return flops;
}

}  // namespace lockstep
