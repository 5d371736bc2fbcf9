// SPDX-License-Identifier: Apache-2.0
// The program `lockstep`: parses the command line and runs one subcommand.
// Exit codes: 0 good, 1 failed, 2 wrong usage.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <string>

#include "core/base/log.h"
#include "core/base/usage_error.h"
#include "io/records_command.h"

namespace lockstep {
namespace {

constexpr int kFailed = 1, kWrongUsage = 2;

void show_fraction(double fraction) {
  constexpr int kWidth = 40;
  const int filled = static_cast<int>(fraction * kWidth);
  show_progress(fmt::format("[{}{}] {:3.0f}%", std::string(static_cast<size_t>(filled), '#'),
                            std::string(static_cast<size_t>(kWidth - filled), '.'), fraction * 100));
}

// A line on stdout, with the progress bar out of its way.
void print_line(std::string_view line) {
  show_progress("");
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

CLI::Validator whole_number() {
  const auto check = [](const std::string& text) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    return digits ? "" : fmt::format("expected a whole number of at least 0, got `{}`", text);
  };
  return CLI::Validator(check, "");
}

using Command = std::function<absl::Status()>;

void add_records_create(CLI::App& records, Command& command) {
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
                   "Images from the front of the training set that become the validation set (images)")
      ->type_name("N")
      ->check(whole_number());
  create->add_option("--classes", options->classes, "Labels must be below this; 0 accepts any (labels)")
      ->type_name("N")
      ->check(CLI::Range(0, 256));
  create->callback([options, source, &command] {
    command = [options, source]() {
      options->fall_back_to_mirrors = source->count() == 0;
      options->on_line = print_line;
      options->on_progress = show_fraction;
      const absl::Status status = create_records(*options).status();
      show_progress("");
      return status;
    };
  });
}

int run(int argc, char** argv) {
  CLI::App app{"Data-parallel training and serving of small image classifiers", "lockstep"};
  app.require_subcommand(1);
  Command command;
  CLI::App* records = app.add_subcommand("records", "Record files for training");
  records->require_subcommand(1);
  add_records_create(*records, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    fmt::print(stderr, "lockstep: {}\nRun with --help for usage.\n", usage_error(app, error));
    return kWrongUsage;
  }
  const absl::Status status = command();
  if (status.ok()) return 0;
  fmt::print(stderr, "lockstep: {}\n", std::string(status.message()));
  return kFailed;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::run(argc, argv); }
