// SPDX-License-Identifier: Apache-2.0
#include "serve/predictor.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "kernels/softmax_xent/softmax_xent.h"

namespace lockstep {

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::create(std::shared_ptr<const TrainedModel> model,
                                                             const PredictorOptions& options) {
  LOCKSTEP_CHECK_GE(options.capacity, 1);
  LOCKSTEP_ASSIGN_OR_RETURN(Network network, Network::build(model->config));
  if (model->weights.size() != static_cast<size_t>(network.params().buffer_size())) {
    return absl::InvalidArgumentError(fmt::format("{}: expected {} weights for the network of {}, found {}",
                                                  model->origin, network.params().buffer_size(), model->config.path,
                                                  model->weights.size()));
  }
  std::unique_ptr<Predictor> predictor(new Predictor(std::move(model), std::move(network), options));
  LOCKSTEP_RETURN_IF_ERROR(predictor->model_.pack_weights(predictor->kernel_, predictor->trained_->weights.data()));
  std::vector<float> inputs(static_cast<size_t>(options.capacity * predictor->input().size()));
  std::vector<int64_t> classes(static_cast<size_t>(options.capacity));
  std::vector<float> probabilities(classes.size() * static_cast<size_t>(predictor->classes()));
  LOCKSTEP_RETURN_IF_ERROR(predictor->predict(options.capacity, inputs.data(), classes.data(), probabilities.data()));
  return predictor;
}

Predictor::Predictor(std::shared_ptr<const TrainedModel> model, Network network, const PredictorOptions& options)
    : trained_(std::move(model)),
      network_(std::move(network)),
      pool_(options.threads),
      kernel_{.backend = Backend::kSimd, .pool = &pool_},
      model_(network_, options.capacity, ModelUse::kInference) {}

ImageShape Predictor::input() const {
  const FeatureShape shape = network_.input();
  return {shape.height, shape.width, shape.channels};
}

absl::Status Predictor::predict(int64_t examples, const float* inputs, int64_t* classes, float* probabilities) {
  LOCKSTEP_CHECK_GE(examples, 0);
  LOCKSTEP_CHECK_LE(examples, capacity());
  const std::lock_guard lock(mutex_);
  std::copy_n(inputs, examples * network_.input().size(), model_.input());
  const PassContext pass{.kernel = kernel_, .examples = examples};
  LOCKSTEP_RETURN_IF_ERROR(model_.forward(pass, trained_->weights.data(), [](int) { return absl::OkStatus(); }));
  const int n = network_.classes();
  for (int64_t i = 0; i < examples; ++i) {
    const float* logits = model_.logits() + i * n;
    classes[i] = std::max_element(logits, logits + n) - logits;
  }
  return softmax(kernel_, examples, n, model_.logits(), probabilities);
}

}  // namespace lockstep
