// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
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
#include "serve/text_table.h"

namespace lockstep {
namespace {

constexpr int64_t kBatch = 100;  // examples in one pass

// Pixels as bytes are numbers like any other to the network, and its answer to them looks like one: once is enough.
void warn_of_bytes(std::span<const float> numbers, int64_t example_size, const std::string& name) {
  const auto first = std::find_if(numbers.begin(), numbers.end(), [](float number) { return number > 1; });
  if (first == numbers.end()) return;
  fmt::print(
      stderr,
      "lockstep: warning: {}:{}: numbers above 1, up to {}; pixels are expected from 0 to 1, as `lockstep request "
      "create` writes them: divide those from 0 to 255 by 255\n",
      printable(name), (first - numbers.begin()) / example_size + 1, *std::max_element(first, numbers.end()));
}

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
  warn_of_bytes(numbers, input.size(), name);
  return numbers;
}

absl::StatusOr<std::vector<float>> read_images(const std::vector<std::string>& paths, const ImageShape& input) {
  std::vector<float> numbers(paths.size() * static_cast<size_t>(input.size()));
  float* out = numbers.data();
  for (const std::string& path : paths) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string bytes, read_picture(path));
    const std::string name = input_name(path);
    LOCKSTEP_ASSIGN_OR_RETURN(const PngImage image, decode_png(bytes, name));
    LOCKSTEP_ASSIGN_OR_RETURN(const PreparedImage prepared, prepare_image(image, input, name));
    fmt::print(stderr, "{}: {}\n", name, prepared.how);
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
