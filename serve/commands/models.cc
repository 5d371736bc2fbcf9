// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>

#include "serve/commands/commands.h"
#include "serve/commands/registry_command.h"
#include "serve/registry/resource_text.h"

namespace lockstep {
namespace {

using nlohmann::json;

struct ModelsOptions : RegistryFlags {
  RegisteredModel model;
};

void add_name(CLI::App& command, ModelsOptions& options) {
  command.add_option("MODEL", options.model.name, "Name of the model")->required()->check(registry_name("model"));
}

absl::Status create(const ModelsOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto registry, open_registry());
  RegisteredModel model = options.model;
  model.description = options.description;
  model.labels = labels_of(options);
  LOCKSTEP_RETURN_IF_ERROR(registry->create_model(model));
  if (!model.regions.empty()) print_note("--regions is only recorded: the model is on this machine");
  if (model.online_prediction_logging) {
    print_note("--enable-logging is only recorded: `lockstep serve` counts requests, but keeps none");
  }
  fmt::print(stderr, "Created ml engine model [projects/{}/models/{}].\n", options.project, model.name);
  return absl::OkStatus();
}

absl::Status list(const ModelsOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto registry, open_registry());
  LOCKSTEP_ASSIGN_OR_RETURN(const auto models, registry->models());
  std::vector<std::vector<std::string>> rows;
  json resources = json::array();
  for (const ModelAndVersions& each : models) {
    rows.push_back({each.model.name, each.model.default_version});
    resources.push_back(model_resource(options.project, each));
  }
  return print_list(options, {"NAME", "DEFAULT_VERSION_NAME"}, rows, resources);
}

absl::Status describe(const ModelsOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto registry, open_registry());
  LOCKSTEP_ASSIGN_OR_RETURN(const ModelAndVersions model, registry->model(options.model.name));
  return print_resource(options, model_resource(options.project, model));
}

absl::Status remove(const ModelsOptions& options) {
  const std::string& name = options.model.name;
  LOCKSTEP_ASSIGN_OR_RETURN(const auto registry, open_registry());
  LOCKSTEP_RETURN_IF_ERROR(registry->model(name).status());  // before asking
  LOCKSTEP_RETURN_IF_ERROR(confirm(options, fmt::format("This will delete model [{}]...", name)));
  return with_progress(fmt::format("Deleting model [{}]...", name), "done.\n",
                       [&] { return registry->delete_model(name); });
}

void add_model_create(CLI::App& models, Command& chosen) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* command =
      models.add_subcommand("create", "Make a model, to which `lockstep versions create` adds versions");
  command->option_defaults()->always_capture_default();
  add_name(*command, *options);
  add_describing_flags(*command, *options);
  command->add_option("--regions", options->model.regions, "Recorded for `describe`; a model is on this machine")
      ->type_name("REGION")
      ->delimiter(',')
      ->expected(1);
  command->add_flag("--enable-logging,--enable_logging", options->model.online_prediction_logging,
                    "Recorded for `describe`; the server counts requests, but keeps none");
  add_common_flags(*command, *options);
  command->callback([options, &chosen] { chosen = [options] { return create(*options); }; });
}

void add_model_list(CLI::App& models, Command& chosen) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* command = models.add_subcommand("list", "All models, with the name of the version that is the default");
  command->option_defaults()->always_capture_default();
  add_common_flags(*command, *options);
  add_format_flag(*command, *options, true);
  command->callback([options, &chosen] { chosen = [options] { return list(*options); }; });
}

void add_model_describe(CLI::App& models, Command& chosen) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* command = models.add_subcommand("describe", "What is known of a model and of its default version");
  command->option_defaults()->always_capture_default();
  add_name(*command, *options);
  add_common_flags(*command, *options);
  add_format_flag(*command, *options, false);
  command->callback([options, &chosen] { chosen = [options] { return describe(*options); }; });
}

void add_model_delete(CLI::App& models, Command& chosen) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* command = models.add_subcommand("delete", "Delete a model that has no versions");
  command->option_defaults()->always_capture_default();
  add_name(*command, *options);
  add_common_flags(*command, *options);
  command->callback([options, &chosen] { chosen = [options] { return remove(*options); }; });
}

}  // namespace

void add_models_command(CLI::App& app, Command& chosen) {
  CLI::App* models =
      app.add_subcommand("models", "The models that `lockstep serve` serves, in $LOCKSTEP_HOME (default ~/.lockstep)");
  models->require_subcommand(1);
  add_model_create(*models, chosen);
  add_model_list(*models, chosen);
  add_model_describe(*models, chosen);
  add_model_delete(*models, chosen);
}

}  // namespace lockstep
