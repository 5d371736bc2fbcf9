// SPDX-License-Identifier: Apache-2.0
#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <string>
#include <vector>

#include "io/png_reader.h"
#include "serve/client/answer_text.h"
#include "serve/client/prediction_client.h"
#include "serve/commands/command_line.h"
#include "serve/commands/predict.h"
#include "serve/commands/predict_input.h"
#include "serve/commands/token_file.h"
#include "serve/instance_lines.h"

namespace lockstep {
namespace {

// The server prepares pictures itself. What is no PNG is refused here, where its file can be named.
absl::StatusOr<std::vector<std::string>> read_pictures(const std::vector<std::string>& paths) {
  std::vector<std::string> instances;
  for (const std::string& path : paths) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string bytes, read_picture(path));
    if (!has_png_signature(bytes)) LOCKSTEP_RETURN_IF_ERROR(decode_png(bytes, input_name(path)).status());
    instances.push_back(fmt::format("{{\"b64\": \"{}\"}}", absl::Base64Escape(bytes)));
  }
  return instances;
}

absl::StatusOr<std::vector<std::string>> read_instances(const PredictOptions& options) {
  if (!options.images.empty()) return read_pictures(options.images);
  if (!options.text_instances.empty()) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string text, read_input(options.text_instances, "one instance a line"));
    return text_lines_as_json(text, input_name(options.text_instances), kMostOnlineInstances);
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string text, read_input(options.json_instances, kJsonLines));
  return json_lines(text, input_name(options.json_instances), kMostOnlineInstances);
}

absl::StatusOr<std::string> request_body(const PredictOptions& options) {
  if (options.json_request.empty()) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<std::string> instances, read_instances(options));
    return instances_body(instances, options.signature_name);
  }
  LOCKSTEP_ASSIGN_OR_RETURN(std::string body, read_input(options.json_request, "the body of a request, in JSON"));
  LOCKSTEP_RETURN_IF_ERROR(check_json(body, input_name(options.json_request)));
  return body;
}

absl::StatusOr<PredictionServer> find_server(const PredictOptions& options) {
  PredictionServer server;
  LOCKSTEP_ASSIGN_OR_RETURN(server.url, parse_server_url(options.host));
  server.ca_file = options.ca_file;
  server.timeout = std::chrono::seconds(options.timeout_s);
  if (options.token_file.empty()) return server;
  LOCKSTEP_ASSIGN_OR_RETURN(server.token, read_token(options.token_file));
  if (!server.url.is_loopback && server.url.base.starts_with("http://")) {
    fmt::print(stderr, "lockstep: warning: {} can be listened to, and so the token: use https://\n", server.url.base);
  }
  return server;
}

// Servers count instances from 0, in "(instance 2)"; the reader of a file counts lines from 1.
absl::Status with_line(const absl::Status& status, const PredictOptions& options) {
  constexpr std::string_view kInstance = "(instance ";
  const std::string text(status.message());
  const size_t at = text.find(kInstance);
  if (options.json_instances.empty() || at == std::string::npos) return status;
  const char* const begin = text.data() + at + kInstance.size();
  int64_t index = 0;
  const auto read = std::from_chars(begin, text.data() + text.size(), index);
  const bool told = read.ec == std::errc() && *read.ptr == ')' && index >= 0 && index < kMostOnlineInstances;
  if (!told) return status;
  return annotate(status, fmt::format("{}:{}", input_name(options.json_instances), index + 1));
}

}  // namespace

absl::Status predict_remote(const PredictOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const PredictionServer server, find_server(options));
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string body, request_body(options));
  const auto answer = ask_for_predictions(server, {options.model, options.version}, body);
  if (!answer.ok()) return with_line(answer.status(), options);
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string text,
                            answer_text(*answer, options.json ? AnswerFormat::kJson : AnswerFormat::kTable));
  return print_result(text);
}

}  // namespace lockstep
