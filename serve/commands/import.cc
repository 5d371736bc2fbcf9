// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "core/nn/layer_list.h"
#include "core/nn/network.h"
#include "core/nn/trained_model.h"
#include "io/tensor_bundle.h"
#include "serve/commands/command_line.h"
#include "serve/commands/commands.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

struct ImportOptions {
  std::string source;
  std::string model;  // YAML
  std::string directory;
};

absl::StatusOr<TrainedModel> load(const ImportOptions& options) {
  if (options.model.empty()) return load_trained_model(options.source);
  LOCKSTEP_ASSIGN_OR_RETURN(const ModelConfig config, load_model_config(options.model));
  return load_trained_model(options.source, config);
}

// A row for each layer, one more for each of its variables.
std::string layer_table(const TrainedModel& model, const Network& network) {
  std::vector<std::vector<std::string>> rows;
  const std::vector<Param>& params = network.params().params();
  const auto add_variable = [&](const Param* param) {
    if (param == nullptr) return;
    const auto index = static_cast<size_t>(param - params.data());
    const std::string source = index < model.sources.size() ? model.sources[index] : param->name;
    rows.push_back({"  " + param->name, shape_text(param->shape), fmt::format("{}", param->size),
                    source.empty() ? "(zeros)" : printable(source)});
  };
  for (const ListedLayer& layer : list_layers(model.config, network)) {
    rows.push_back({layer.name, layer.output.to_string(), "", ""});
    add_variable(layer.kernel);
    add_variable(layer.bias);
  }
  return text_table({"LAYER", "SHAPE", "PARAMETERS", "FROM"}, rows);
}

absl::Status run(const ImportOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const TrainedModel model, load(options));
  for (const auto* warnings : {&model.warnings, &model.training_warnings}) {
    for (const std::string& warning : *warnings) fmt::print(stderr, "lockstep: warning: {}\n", printable(warning));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(model.config));
  LOCKSTEP_RETURN_IF_ERROR(write_run_directory(model, options.directory));
  fmt::print("{}", layer_table(model, network));
  print_line(fmt::format("Imported {}: images {}, {} classes, {} parameters, step {}", model.origin,
                         network.input().to_string(), network.classes(), network.params().parameter_count(),
                         model.global_step));
  print_line(fmt::format("Run directory written to: {}", options.directory));
  return absl::OkStatus();
}

}  // namespace

void add_import_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<ImportOptions>();
  CLI::App* command = app.add_subcommand(
      "import", "Turn a model of TensorFlow or ONNX into a run directory, to predict with or to train on");
  command
      ->add_option("--source", options->source,
                   "A SavedModel, an ONNX file, or a TensorFlow checkpoint (its prefix, such as out/model.ckpt-200)")
      ->type_name("PATH")
      ->required();
  command
      ->add_option("--model", options->model,
                   "The network, a file like configs/models/mnist_cnn.yaml, for a checkpoint without a graph; the "
                   "graph of any other source must be this network")
      ->type_name("FILE");
  command->add_option("--directory", options->directory, "Receives model.yaml and a checkpoint; must hold neither")
      ->type_name("DIR")
      ->required();
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace lockstep
