// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/base/host_info.h"
#include "core/nn/trained_model.h"
#include "io/png_reader.h"
#include "kernels/images/images.h"
#include "serve/commands/command_line.h"
#include "serve/commands/predict.h"
#include "serve/commands/predict_input.h"
#include "serve/digit_image.h"
#include "serve/instance_lines.h"
#include "serve/instances.h"
#include "serve/predictions.h"
#include "serve/predictor.h"

namespace lockstep {
namespace {

constexpr int64_t kBatch = 100;  // examples in one pass

// The numbers of all examples, one behind the other.
absl::StatusOr<std::vector<float>> read_instances(const std::string& path, const ImageShape& input) {
  const std::string name = input_name(path);
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string text, read_input(path, kJsonLines));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto instances, parse_json_lines(text, name, 0));
  const InstanceReader reader(input);
  const auto size = static_cast<size_t>(input.size());
  std::vector<float> numbers(instances.size() * size);
  for (size_t i = 0; i < instances.size(); ++i) {
    LOCKSTEP_RETURN_IF_ERROR(
        reader.read(instances[i], fmt::format("{}:{}", name, i + 1), std::span(numbers).subspan(i * size, size)));
  }
  return numbers;
}

absl::StatusOr<std::vector<float>> read_images(const std::vector<std::string>& paths, const ImageShape& input) {
  std::vector<float> numbers(paths.size() * static_cast<size_t>(input.size()));
  float* out = numbers.data();
  for (const std::string& path : paths) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string bytes, read_picture(path));
    LOCKSTEP_ASSIGN_OR_RETURN(const PngImage image, decode_png(bytes, path));
    LOCKSTEP_ASSIGN_OR_RETURN(const PreparedImage prepared, prepare_image(image, input, path));
    fmt::print(stderr, "{}: {}\n", path, prepared.how);
    LOCKSTEP_RETURN_IF_ERROR(scale_images(KernelContext{}, input.size(), prepared.pixels.data(), out));
    out += input.size();
  }
  return numbers;
}

absl::StatusOr<Predictions> predict_all(Predictor& predictor, std::span<const float> inputs) {
  const int64_t size = predictor.input().size(), examples = static_cast<int64_t>(inputs.size()) / size;
  Predictions result;
  result.class_count = predictor.classes();
  result.classes.resize(static_cast<size_t>(examples));
  result.probabilities.resize(static_cast<size_t>(examples * predictor.classes()));
  for (int64_t at = 0; at < examples; at += predictor.capacity()) {
    LOCKSTEP_RETURN_IF_ERROR(predictor.predict(std::min(predictor.capacity(), examples - at), inputs.data() + at * size,
                                               result.classes.data() + at,
                                               result.probabilities.data() + at * predictor.classes()));
  }
  return result;
}

}  // namespace

absl::Status predict_local(const PredictOptions& options) {
  auto model = load_trained_model(options.model_dir);
  if (!model.ok())
    return absl::Status(model.status().code(),
                        fmt::format("Failed to load model: {} (Error code: 0)", std::string(model.status().message())));
  for (const std::string& warning : model->warnings) fmt::print(stderr, "lockstep: warning: {}\n", warning);
  // A directory may hold several checkpoints or versions: the reader is to know which one answered.
  const std::string used = fmt::format("{}, step {}", model->origin, model->global_step);
  const int threads = options.threads > 0 ? options.threads : available_cores();
  LOCKSTEP_ASSIGN_OR_RETURN(const auto predictor,
                            Predictor::create(std::make_shared<const TrainedModel>(*std::move(model)),
                                              {.capacity = kBatch, .threads = threads}));
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<float> inputs,
                            options.images.empty() ? read_instances(options.json_instances, predictor->input())
                                                   : read_images(options.images, predictor->input()));
  LOCKSTEP_ASSIGN_OR_RETURN(const Predictions predictions, predict_all(*predictor, inputs));
  fmt::print(stderr, "Model: {}\n", used);
  return print_result(options.json ? predictions_json(predictions) : predictions_table(predictions));
}

}  // namespace lockstep
