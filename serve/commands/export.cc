// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "core/base/file.h"
#include "core/nn/network.h"
#include "core/nn/onnx_export.h"
#include "core/nn/saved_model_export.h"
#include "core/nn/trained_model.h"
#include "io/tensor_bundle.h"
#include "serve/commands/command_line.h"
#include "serve/commands/commands.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

struct ExportOptions {
  std::string model_dir, checkpoint;  // one of them
  std::string model;                  // YAML
  std::string directory;
  std::string format = "saved_model";
  SavedModelExportOptions saved_model;
};

absl::StatusOr<TrainedModel> load(const ExportOptions& options) {
  const std::string& path = options.model_dir.empty() ? options.checkpoint : options.model_dir;
  if (options.model.empty()) {
    auto model = load_trained_model(path);
    const bool lacks_network = absl::IsNotFound(model.status()) && bundle_prefix(path).ok();
    if (!lacks_network) return model;
    return absl::NotFoundError(fmt::format("{}, or name one with --model", std::string(model.status().message())));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const ModelConfig config, load_model_config(options.model));
  return load_trained_model(path, config);
}

// What the tutorial's program logs, for both formats.
absl::StatusOr<std::string> write(const ExportOptions& options, const TrainedModel& model, const Network& network) {
  const float* weights = model.weights.data();
  if (options.format == "onnx") {
    const std::string path =
        options.directory.ends_with(".onnx") ? options.directory : join_path(options.directory, "model.onnx");
    LOCKSTEP_RETURN_IF_ERROR(export_onnx(path, model.config, network, weights, model.global_step));
    return fmt::format("ONNX model written to: {}", path);
  }
  SavedModelExportOptions saved_model = options.saved_model;
  saved_model.on_removed = [](const std::string& version) {
    fmt::print(stderr, "lockstep: removed the older export {}; --exports_to_keep N keeps more, 0 all\n",
               printable(version));
  };
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string directory, export_saved_model(options.directory, model.config, network,
                                                                            weights, model.global_step, saved_model));
  return fmt::format("SavedModel written to: {}", join_path(directory, "saved_model.pb"));
}

absl::Status run(const ExportOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const TrainedModel model, load(options));
  for (const std::string& warning : model.warnings) fmt::print(stderr, "lockstep: warning: {}\n", warning);
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(model.config));
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string line, write(options, model, network));
  print_line(line);
  return absl::OkStatus();
}

}  // namespace

void add_export_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command = app.add_subcommand("export", "Write a trained model as a SavedModel or an ONNX file");
  command->option_defaults()->always_capture_default();
  CLI::Option_group* source = command->add_option_group("Source", "One of");
  source
      ->add_option("--model_dir,--model-dir", options->model_dir,
                   "The model: --output_dir of a training run (its newest checkpoint), or an exported model")
      ->type_name("PATH");
  source->add_option("--checkpoint", options->checkpoint, "A checkpoint, such as out/model.ckpt-200")
      ->type_name("PATH");
  source->require_option(1);
  command
      ->add_option("--model", options->model,
                   "The network, a file like configs/models/mnist_cnn.yaml, where no model.yaml lies beside the "
                   "checkpoint")
      ->type_name("FILE");
  command
      ->add_option("--directory", options->directory,
                   "saved_model: receives a directory named by the Unix time; onnx: receives model.onnx, or is itself "
                   "a name ending in .onnx")
      ->type_name("DIR")
      ->required();
  command->add_option("--format", options->format, "saved_model or onnx")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"saved_model", "onnx"}));
  CLI::Option* frozen = command->add_flag("--frozen", options->saved_model.frozen,
                                          "SavedModel with the weights as constants in the graph, no variables");
  CLI::Option* keep = command
                          ->add_option("--exports_to_keep", options->saved_model.exports_to_keep,
                                       "Newest SavedModels that stay in --directory, the new one included; 0: all")
                          ->type_name("exports")
                          ->check(whole_number());
  command->callback([options, frozen, keep, &chosen] {
    if (options->format != "onnx" && options->directory.ends_with(".onnx")) {
      throw CLI::ValidationError("--directory", options->directory +
                                                    " ends in .onnx: add --format onnx, or name a directory, which "
                                                    "receives the SavedModel");
    }
    for (const CLI::Option* only : {frozen, keep}) {
      if (options->format == "onnx" && only->count() > 0) {
        throw CLI::ValidationError(only->get_name(), "is for --format saved_model");
      }
    }
    chosen = [options] { return run(*options); };
  });
}

}  // namespace lockstep
