// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>

#include "serve/commands/commands.h"
#include "serve/commands/registry_command.h"
#include "serve/commands/version_config.h"
#include "serve/registry/resource_text.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

using nlohmann::json;

struct VersionsOptions : RegistryFlags {
  RegisteredVersion version;
  std::string config;
};

// What is wrong with a path of `versions create`; "" for nothing.
std::string origin_error(const std::string& path) {
  if (path.empty()) return "expected a path, got nothing";
  if (path.find("://") == std::string::npos) return "";
  return fmt::format("expected a path on this machine, got {}: copy it here first", path);
}

absl::StatusOr<RegisteredVersion> version_of(const VersionsOptions& options) {
  RegisteredVersion version = options.version;
  version.description = options.description;
  version.labels = labels_of(options);
  if (options.config.empty()) return version;
  std::vector<std::string> unused;
  LOCKSTEP_RETURN_IF_ERROR(read_version_config(options.config, version, unused));
  if (const std::string error = origin_error(version.origin); !error.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: deploymentUri: {}; --origin names the model, too", options.config, error));
  }
  for (const std::string& field : unused) {
    print_note(fmt::format("{} of {} is not used: versions run on the machine of the server", field, options.config));
  }
  return version;
}

absl::Status create(const VersionsOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const RegisteredVersion version, version_of(options));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto registry, open_registry());
  if (!version.runtime_version.empty() || !version.python_version.empty()) {
    print_note("--runtime-version and --python-version are only recorded: Lockstep itself runs every version");
  }
  // gcloud's line: three dots of its own, and as many of its progress.
  LOCKSTEP_ASSIGN_OR_RETURN(const NewVersion made,
                            with_progress("Creating version (this might take a few minutes)...", "...done.\n",
                                          [&] { return registry->create_version(version); }));
  for (const std::string& warning : made.warnings) fmt::print(stderr, "lockstep: warning: {}\n", warning);
  return absl::OkStatus();
}

absl::Status list(const VersionsOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto registry, open_registry());
  LOCKSTEP_ASSIGN_OR_RETURN(const ModelAndVersions model, registry->model(options.version.model));
  std::vector<std::vector<std::string>> rows;
  json resources = json::array();
  for (const RegisteredVersion& version : model.versions) {
    rows.push_back({version.name, printable(version.origin), "READY"});
    resources.push_back(version_resource(options.project, version));
  }
  return print_list(options, {"NAME", "DEPLOYMENT_URI", "STATE"}, rows, resources);
}

absl::Status describe(const VersionsOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto registry, open_registry());
  LOCKSTEP_ASSIGN_OR_RETURN(const auto version, registry->version(options.version.model, options.version.name));
  return print_resource(options, version_resource(options.project, version));
}

absl::Status set_default(const VersionsOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto registry, open_registry());
  LOCKSTEP_ASSIGN_OR_RETURN(const auto version, registry->set_default(options.version.model, options.version.name));
  return print_resource(options, version_resource(options.project, version));
}

absl::Status remove(const VersionsOptions& options) {
  const RegisteredVersion& version = options.version;
  LOCKSTEP_ASSIGN_OR_RETURN(const auto registry, open_registry());
  LOCKSTEP_RETURN_IF_ERROR(registry->version(version.model, version.name).status());  // before asking
  LOCKSTEP_RETURN_IF_ERROR(confirm(options, fmt::format("This will delete version [{}]...", version.name)));
  return with_progress(fmt::format("Deleting version [{}]...", version.name), "...done.\n",
                       [&] { return registry->delete_version(version.model, version.name); });
}

// One of `versions create|describe|…`, with --model and the flags of all.
CLI::App* add_command(CLI::App& versions, const std::string& name, const std::string& what, VersionsOptions& options,
                      bool takes_version = true) {
  CLI::App* command = versions.add_subcommand(name, what);
  command->option_defaults()->always_capture_default();
  if (takes_version) {
    command->add_option("VERSION", options.version.name, "Name of the version")
        ->required()
        ->check(registry_name("version"));
  }
  command->add_option("--model", options.version.model, "Its model")
      ->type_name("MODEL")
      ->required()
      ->check(registry_name("model"));
  add_common_flags(*command, options);
  return command;
}

void add_version_create(CLI::App& versions, Command& chosen) {
  auto options = std::make_shared<VersionsOptions>();
  CLI::App* command = add_command(
      versions, "create", "Copy an exported model into the registry as a version; a model's first one is its default",
      *options);
  CLI::Option* origin = command->add_option(
      "--origin", options->version.origin,
      "What to copy: an exported model, a directory of them (the newest), --output_dir of a training run, "
      "a checkpoint, or an ONNX file");
  origin->type_name("PATH")->check(CLI::Validator(origin_error, ""));
  CLI::Option* config = command
                            ->add_option("--config", options->config,
                                         "File with what is not given by flags, in YAML or JSON: deploymentUri (as "
                                         "--origin), description, labels, runtimeVersion, pythonVersion, framework")
                            ->type_name("FILE")
                            ->check(CLI::ExistingFile);
  add_describing_flags(*command, *options);
  command
      ->add_option("--runtime-version,--runtime_version", options->version.runtime_version,
                   "Recorded for `describe`; Lockstep itself runs every version")
      ->type_name("VERSION");
  command->add_option("--python-version,--python_version", options->version.python_version, "Recorded for `describe`")
      ->type_name("VERSION");
  command->add_option("--framework", options->version.framework, "Recorded for `describe`")
      ->type_name("NAME")
      ->transform(CLI::IsMember({"TENSORFLOW"}, CLI::ignore_case));
  add_unused_flag(*command, "--staging-bucket,--staging_bucket",
                  "is not used: files are copied straight into the registry");
  add_unused_flag(*command, "--async", "is not used: the version is ready when this command ends", true);
  add_unused_flag(*command, "--machine-type,--machine_type", "is not used: versions run on the machine of the server");
  command->callback([options, origin, config, &chosen] {
    if (origin->count() == 0 && config->count() == 0) throw CLI::RequiredError("--origin");
    chosen = [options] { return create(*options); };
  });
}

}  // namespace

void add_versions_command(CLI::App& app, Command& chosen) {
  CLI::App* versions = app.add_subcommand("versions", "The versions of a model in the registry");
  versions->require_subcommand(1);
  add_version_create(*versions, chosen);
  const auto add = [&](const std::string& name, const std::string& what, absl::Status (*run)(const VersionsOptions&),
                       bool takes_version = true) {
    auto options = std::make_shared<VersionsOptions>();
    CLI::App* command = add_command(*versions, name, what, *options, takes_version);
    if (name != "delete") add_format_flag(*command, *options, !takes_version);
    command->callback([options, run, &chosen] { chosen = [options, run] { return run(*options); }; });
  };
  add("list", "All versions of a model", list, false);
  add("describe", "What is known of a version", describe);
  add("set-default", "Let a version answer requests that name none", set_default);
  add("delete", "Delete a version and its files; the default one only when there is no other", remove);
}

}  // namespace lockstep
