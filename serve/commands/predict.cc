// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/host_info.h"
#include "core/nn/trained_model.h"
#include "io/png_reader.h"
#include "kernels/images/images.h"
#include "serve/commands/command_line.h"
#include "serve/commands/commands.h"
#include "serve/digit_image.h"
#include "serve/instances.h"
#include "serve/predictions.h"
#include "serve/predictor.h"

namespace lockstep {
namespace {

constexpr uint64_t kMaxInstanceBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxImageBytes = uint64_t{1} << 28;
constexpr int64_t kBatch = 100;  // examples in one pass

struct PredictOptions {
  std::string model_dir;
  std::string json_instances;
  std::vector<std::string> images;
  int threads = 0;
  bool json = false;
};

// A file that the command line names; `expected` says of what kind.
absl::StatusOr<std::string> read_named_file(const std::string& path, uint64_t most_bytes, std::string_view expected) {
  auto bytes = read_file(path, most_bytes);
  if (!absl::IsNotFound(bytes.status())) return bytes;
  return absl::NotFoundError(fmt::format("{}: no such file; expected {}", path, expected));
}

absl::StatusOr<std::string> read_instance_text(const std::string& path, const std::string& name) {
  if (path == "-") return read_descriptor(STDIN_FILENO, name, kMaxInstanceBytes);
  return read_named_file(path, kMaxInstanceBytes, "one JSON value a line, as `lockstep request create` writes");
}

// The numbers of all examples, one behind the other.
absl::StatusOr<std::vector<float>> read_instances(const std::string& path, const ImageShape& input) {
  const std::string name = path == "-" ? "standard input" : path;
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string text, read_instance_text(path, name));
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
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string bytes, read_named_file(path, kMaxImageBytes, "a PNG"));
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

absl::Status run(const PredictOptions& options) {
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
  fmt::print("{}", options.json ? predictions_json(predictions) : predictions_table(predictions));
  if (std::fflush(stdout) != 0) return absl::ErrnoToStatus(errno, "standard output: cannot write");
  return absl::OkStatus();
}

// Refuses, with the way out, flags of gcloud that cannot work here.
void add_refused_flags(CLI::App* predict) {
  const auto refuse = [predict](const std::string& names, const std::string& reason) {
    predict
        ->add_option_function<std::string>(
            names, [names, reason](const std::string&) { throw CLI::ValidationError(names, reason); }, reason)
        ->group("");
  };
  refuse("--model",
         "names a model of a registry, which this version does not have: --model_dir predicts with the model in a "
         "directory, `lockstep serve` answers for one over HTTP");
  refuse("--version", "chooses a version of --model; --model_dir takes the directory of a version, too");
  refuse("--signature-name,--signature_name",
         "chooses among signatures, but a model here has one, which is used: leave the flag out");
  refuse(
      "--json-request,--json_request",
      "sends the body of a request, which is for `lockstep serve`: --json-instances takes its instances, one a line");
  refuse("--text-instances,--text_instances",
         "gives strings, but the input of these models is numbers: use --json-instances");
}

}  // namespace

void add_predict_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* predict = app.add_subcommand(
      "predict", "Classes and probabilities for instances or pictures, from a trained or exported model");
  predict->option_defaults()->always_capture_default();
  predict
      ->add_option("--model_dir,--model-dir", options->model_dir,
                   "The model: --output_dir of a training run, a checkpoint, or an exported model")
      ->type_name("PATH")
      ->required();
  CLI::Option_group* what = predict->add_option_group("Input", "One of");
  what->add_option("--json-instances,--json_instances", options->json_instances,
                   fmt::format("File with one JSON value a line: a list of numbers, the same nested, "
                               "{{\"inputs\": list}}, or {{\"b64\": PNG}}; - is standard input. A model in a directory "
                               "takes any number of lines, online prediction on a server, as gcloud's, at most {}",
                               kMostOnlineInstances))
      ->type_name("FILE");
  what->add_option("--image", options->images,
                   "PNG of one digit, any size, dark on light or light on dark; may be repeated")
      ->type_name("FILE");
  what->require_option(1);
  predict->add_option("--threads", options->threads, "CPU threads; 0: all cores")
      ->type_name("threads")
      ->check(CLI::Range(0, 1024));
  predict->add_flag("--json", options->json, "Print JSON instead of the table");
  add_refused_flags(predict);
  predict->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace lockstep
