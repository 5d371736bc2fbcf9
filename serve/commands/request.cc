// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "serve/commands/command_line.h"
#include "serve/commands/commands.h"
#include "serve/request_file.h"

namespace lockstep {
namespace {

// Standard output may be the request itself, so what was written is told on standard error.
absl::Status write_and_tell(const RequestOptions& options) {
  LOCKSTEP_RETURN_IF_ERROR(create_request(options));
  if (options.output != "-") {
    fmt::print(stderr, "Wrote {}: {} {} of the {} set of {}\n", options.output, options.count,
               options.count == 1 ? "image" : "images", split_name(options.split), options.data_dir);
  }
  return absl::OkStatus();
}

void add_request_create(CLI::App& request, Command& chosen) {
  auto options = std::make_shared<RequestOptions>();
  CLI::App* create = request.add_subcommand(
      "create", "Write the first images of a data set as instances for `lockstep predict`, one JSON value a line");
  create->option_defaults()->always_capture_default();
  create
      ->add_option("--data_dir,--data-dir", options->data_dir,
                   "Directory with TFRecords (`lockstep records create`) or the raw IDX files")
      ->type_name("DIR")
      ->required();
  create->add_option("-n,--count", options->count, "Images, from the front of the set")
      ->type_name("images")
      ->check(whole_number())
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  create->add_option("--output", options->output, "File that receives the lines; - is standard output")
      ->type_name("FILE");
  create->callback([options, &chosen] { chosen = [options] { return write_and_tell(*options); }; });
}

}  // namespace

void add_request_command(CLI::App& app, Command& chosen) {
  CLI::App* request = app.add_subcommand("request", "Request files for prediction");
  request->require_subcommand(1);
  add_request_create(*request, chosen);
}

}  // namespace lockstep
