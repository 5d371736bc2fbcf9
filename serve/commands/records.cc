// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "core/base/log.h"
#include "io/records_command.h"
#include "serve/commands/command_line.h"
#include "serve/commands/commands.h"

namespace lockstep {
namespace {

void add_records_create(CLI::App& records, Command& chosen) {
  auto options = std::make_shared<RecordsOptions>();
  CLI::App* create = records.add_subcommand("create", "Turn gzip IDX files into train, validation and test TFRecords");
  create->option_defaults()->always_capture_default();
  CLI::Option* source = create->add_option(
      "--source", options->source,
      "Directory with the four IDX files (.gz or not), URL base to download them from, or `mirror` for the public "
      "MNIST mirrors; the default falls back to the mirrors where it does not exist");
  source->type_name("DIR_OR_URL");
  create->add_option("--directory", options->directory, "Directory that receives the .tfrecords files")
      ->type_name("DIR")
      ->required();
  create
      ->add_option("--validation_size", options->validation_size,
                   "Images from the front of the training set that become the validation set")
      ->type_name("images")
      ->check(whole_number());
  create->add_option("--classes", options->classes, "Labels must be below this; 0: any")
      ->type_name("labels")
      ->check(CLI::Range(0, 256));
  create->callback([options, source, &chosen] {
    chosen = [options, source]() {
      options->fall_back_to_mirrors = source->count() == 0;
      options->on_line = print_line;
      options->on_progress = show_fraction;
      const absl::Status status = create_records(*options).status();
      show_progress("");
      return status;
    };
  });
}

}  // namespace

void add_records_command(CLI::App& app, Command& chosen) {
  CLI::App* records = app.add_subcommand("records", "Record files for training");
  records->require_subcommand(1);
  add_records_create(*records, chosen);
}

}  // namespace lockstep
