// SPDX-License-Identifier: Apache-2.0
#include "tests/interop/predict_images.h"

#include <algorithm>
#include <numeric>

#include "core/base/thread_pool.h"
#include "core/nn/model.h"
#include "core/nn/trained_model.h"
#include "io/batch_source.h"
#include "kernels/softmax_xent/softmax_xent.h"

namespace lockstep {
namespace {

constexpr int64_t kBatch = 100;

// One pass over examples [begin, end), appended to *predictions.
absl::Status predict_batch(const KernelContext& kernel, Model& model, const TrainedModel& trained, const Dataset& data,
                           int64_t begin, int64_t end, Predictions* predictions) {
  std::vector<int64_t> indices(static_cast<size_t>(end - begin));
  std::iota(indices.begin(), indices.end(), begin);
  std::vector<uint8_t> images(indices.size() * static_cast<size_t>(data.shape().size()));
  std::vector<int32_t> labels(indices.size());
  LOCKSTEP_RETURN_IF_ERROR(data.read(indices, images.data(), labels.data()));
  LOCKSTEP_RETURN_IF_ERROR(model.load_images(kernel, images.data(), end - begin));
  const PassContext pass{.kernel = kernel, .examples = end - begin};
  LOCKSTEP_RETURN_IF_ERROR(model.forward(pass, trained.weights.data(), [](int) { return absl::OkStatus(); }));

  const int classes = trained.config.classes;
  std::vector<float> probabilities(indices.size() * static_cast<size_t>(classes));
  LOCKSTEP_RETURN_IF_ERROR(softmax(kernel, end - begin, classes, model.logits(), probabilities.data()));
  for (size_t i = 0; i < indices.size(); ++i) {
    const float* logits = model.logits() + i * static_cast<size_t>(classes);
    predictions->classes.push_back(std::max_element(logits, logits + classes) - logits);
  }
  predictions->probabilities.insert(predictions->probabilities.end(), probabilities.begin(), probabilities.end());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Predictions> predict_test_images(const std::string& model_path, const std::string& directory) {
  LOCKSTEP_ASSIGN_OR_RETURN(const TrainedModel trained, load_trained_model(model_path));
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(trained.config));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto data, open_dataset(directory, Split::kTest, {}));
  if (data->shape().size() != network.input().size()) {
    return absl::InvalidArgumentError("the images of " + directory + " have not the size of the model's input");
  }
  ThreadPool pool(2);
  const KernelContext kernel{.backend = Backend::kSimd, .pool = &pool};
  Model model(network, kBatch, ModelUse::kInference);
  Predictions predictions;
  for (int64_t begin = 0; begin < data->size(); begin += kBatch) {
    const int64_t end = std::min(data->size(), begin + kBatch);
    LOCKSTEP_RETURN_IF_ERROR(predict_batch(kernel, model, trained, *data, begin, end, &predictions));
  }
  return predictions;
}

}  // namespace lockstep
