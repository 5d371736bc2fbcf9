// SPDX-License-Identifier: Apache-2.0
#include "serve/commands/predict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "serve/client/server_url.h"
#include "serve/commands/commands.h"
#include "serve/instance_lines.h"

namespace lockstep {
namespace {

constexpr char kHostVariable[] = "LOCKSTEP_HOST";

std::string default_host() {
  const char* host = std::getenv(kHostVariable);
  return host != nullptr && *host != '\0' ? host : "localhost:8501";
}

void add_input(CLI::App* predict, PredictOptions& options) {
  CLI::Option_group* what = predict->add_option_group("Input", "One of");
  what->add_option("--json-instances,--json_instances", options.json_instances,
                   fmt::format("File with one JSON value a line: a list of numbers, the same nested, "
                               "{{\"inputs\": list}}, or {{\"b64\": PNG}}; - is standard input. A model in a directory "
                               "takes any number of lines, online prediction on a server, as gcloud's, at most {}",
                               kMostOnlineInstances))
      ->type_name("FILE");
  what->add_option("--image", options.images,
                   "PNG of one digit, any size, dark on light or light on dark; - is standard input; may be repeated")
      ->type_name("FILE");
  what->add_option("--json-request,--json_request", options.json_request,
                   "File with the JSON body of a request, which a server gets as it is; - is standard input")
      ->type_name("FILE");
  what->add_option("--text-instances,--text_instances", options.text_instances,
                   "File with one string a line, for a server whose model takes strings; - is standard input")
      ->type_name("FILE");
  what->require_option(1);
}

void add_model(CLI::App* predict, PredictOptions& options) {
  CLI::Option_group* which = predict->add_option_group("Model", "One of");
  which
      ->add_option("--model_dir,--model-dir", options.model_dir,
                   "To predict here: --output_dir of a training run, a checkpoint, or an exported model")
      ->type_name("PATH");
  which->add_option("--model", options.model, "To ask a server, as gcloud does: the name of one of its models")
      ->type_name("NAME");
  which->require_option(1);
}

void add_server(CLI::App* predict, PredictOptions& options) {
  const auto check_host = [](const std::string& text) {
    const auto url = parse_server_url(text);
    return url.ok() ? std::string() : std::string(url.status().message());
  };
  predict
      ->add_option("--version", options.version,
                   "Version of --model: its name, or the number of a directory's version; without it the default one")
      ->type_name("VERSION");
  predict
      ->add_option("--signature-name,--signature_name", options.signature_name,
                   "Signature of --model; without it the default one")
      ->type_name("NAME");
  predict
      ->add_option("--host", options.host,
                   fmt::format("The server of --model: HOST:PORT, http://… or https://…; the default is that of the "
                               "environment's {}, if it is set",
                               kHostVariable))
      ->type_name("HOST")
      ->check(CLI::Validator(check_host, ""));
  predict
      ->add_option("--auth_token_file,--auth-token-file", options.token_file,
                   "Send the token on this file's first line, which the server was started with")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  predict->add_option("--cacert", options.ca_file, "Trust a server of https that has a certificate of this file (PEM)")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  predict->add_option("--timeout", options.timeout_s, "How long to wait for the server's answer, connecting included")
      ->type_name("seconds")
      ->check(CLI::Range(1, 86400));
}

// Flags that only one of --model and --model_dir takes, with what to do instead.
void check_flags(const CLI::App& predict) {
  const bool is_remote = predict.count("--model") > 0;
  const auto refuse = [&](bool here, const char* name, const char* reason) {
    if (here == !is_remote && predict.count(name) > 0) throw CLI::ValidationError(name, reason);
  };
  refuse(true, "--version", "chooses a version of --model; --model_dir takes the directory of a version, too");
  refuse(true, "--signature-name",
         "chooses among the signatures of --model, but one in a directory has one, which is used: leave the flag out");
  refuse(true, "--json-request",
         "sends the body of a request to a server: name its model by --model. --json-instances takes its instances, "
         "one a line");
  refuse(true, "--text-instances",
         "gives strings, but the input of a model in a directory is numbers: use --json-instances, or --model for a "
         "server's");
  for (const char* name : {"--host", "--auth_token_file", "--cacert", "--timeout"}) {
    refuse(true, name, "is for a server, whose model --model names");
  }
  refuse(false, "--threads", "is for --model_dir; a server has its own");
  if (predict.count("--json-request") > 0 && predict.count("--signature-name") > 0) {
    throw CLI::ValidationError("--signature-name", "is for instances; --json-request has it as \"signature_name\"");
  }
}

}  // namespace

void add_predict_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<PredictOptions>();
  options->host = default_host();
  CLI::App* predict = app.add_subcommand(
      "predict",
      "Classes and probabilities for instances or pictures, from a trained or exported model, or a server's");
  predict->option_defaults()->always_capture_default();
  add_model(predict, *options);
  add_input(predict, *options);
  add_server(predict, *options);
  predict->add_option("--threads", options->threads, "CPU threads, with --model_dir; 0: all cores")
      ->type_name("threads")
      ->check(CLI::Range(0, 1024));
  predict->add_flag("--json", options->json, "Print JSON instead of the table");
  predict->callback([predict, options, &chosen] {
    check_flags(*predict);
    if (std::count(options->images.begin(), options->images.end(), "-") > 1) {
      throw CLI::ValidationError("--image", "standard input (-) is one picture: name it once");
    }
    chosen = [options] { return options->model.empty() ? predict_local(*options) : predict_remote(*options); };
  });
}

}  // namespace lockstep
