// SPDX-License-Identifier: Apache-2.0
#include "serve/client/prediction_client.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/http_post.h"
#include "serve/client/answer_text.h"
#include "serve/text_table.h"
#include "serve/version_text.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int kOk = 200;

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  std::string out;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// Cloud ML Engine's path is asked first, as gcloud asks it: its answers have every digit of a float32, as Python prints
// it, and its errors are those that gcloud shows. There a version is a name; digits, which no name consists of, are the
// number of a version for our server. A project is part of the path, but nothing to our server.
std::string cloud_path(const PredictionTarget& target) {
  const std::string version = target.version.empty() ? "" : "/versions/" + percent_encoded(target.version);
  return fmt::format("/v1/projects/lockstep/models/{}{}:predict", percent_encoded(target.model), version);
}

// TensorFlow Serving knows only this one. Its numbers have nine digits.
std::string serving_path(const PredictionTarget& target) {
  const std::string version = target.version.empty()              ? ""
                              : is_version_number(target.version) ? "/versions/" + target.version
                                                                  : "/labels/" + percent_encoded(target.version);
  return fmt::format("/v1/models/{}{}:predict", percent_encoded(target.model), version);
}

// Is it the answer of a server that has no such path? One that has, but not the model, says so in an object.
bool is_unknown_path(const HttpAnswer& answer) {
  if (answer.status != 400 && answer.status != 404 && answer.status != 405) return false;
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  const auto* error = body.is_object() && body.contains("error") ? &body.at("error") : nullptr;
  if (error == nullptr) return true;
  return error->is_string() && !error->get_ref<const std::string&>().starts_with("Prediction failed");
}

// Whatever it is that failed, the server keeps it so until somebody mends it. (The text is that of ModelStore::find().)
bool is_broken(const HttpAnswer& answer) { return answer.body.find(" did not load: ") != std::string::npos; }

std::string_view way_out(const HttpAnswer& answer) {
  const int status = answer.status;
  switch (status) {
    case 401:
    case 403:
      return "The server wants a token, or another one: --auth_token_file names the file that has it.";
    case 404:
      return "--model and --version choose what the server has; GET /v1/models lists it.";
    case 413:
      return "The server takes less in one request: send fewer instances.";
    case 421:
      return "The server is not asked by this name: --host its address, or start it with --allow_host.";
    case 429:
    case 503:
    case 504:
      return is_broken(answer) ? "Another version can be asked with --version."
                               : "The server is busy, or the version is not ready: try again.";
    default:
      return status >= 300 && status < 400 ? "Redirects are not followed: name the server itself with --host." : "";
  }
}

absl::Status refused(const HttpAnswer& answer, const std::string& url) {
  const std::string_view way = way_out(answer);
  const std::string text = fmt::format("HTTP request failed. Response: {}\n{} answered with status {}.{}{}",
                                       shown_body(answer.body), url, answer.status, way.empty() ? "" : " ", way);
  return answer.status >= 500 ? absl::UnavailableError(text) : absl::InvalidArgumentError(text);
}

absl::Status not_answered(const absl::Status& status, const PredictionServer& server, const std::string& model) {
  const std::string why(status.message());
  const std::string& url = server.url.base;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return absl::UnavailableError(fmt::format(
          "cannot reach {}: {}\nStart a server with `lockstep serve --model_name {} --model_base_path PATH`, "
          "or name another with --host.",
          url, why, printable(model)));
    case absl::StatusCode::kDeadlineExceeded:
      return absl::DeadlineExceededError(
          fmt::format("{} gave no answer within {} s; --timeout waits longer", url, server.timeout.count() / 1000));
    case absl::StatusCode::kPermissionDenied:
      return absl::PermissionDeniedError(
          fmt::format("{}: {}\n--cacert names the certificate of a server that no authority vouches for; a server "
                      "without TLS is named as http://…",
                      url, why));
    default:
      return annotate(
          absl::Status(status.code(), fmt::format("no answer that can be used: {}\nIs this the address of REST, "
                                                  "port 8501 unless chosen, and not that of gRPC?",
                                                  why)),
          url);
  }
}

}  // namespace

std::string instances_body(std::span<const std::string> instances, const std::string& signature_name) {
  std::string out = "{\"instances\": [";
  for (size_t i = 0; i < instances.size(); ++i) {
    if (i > 0) out += ", ";
    out += instances[i];
  }
  out += ']';
  if (!signature_name.empty()) out += ", \"signature_name\": " + nlohmann::json(signature_name).dump();
  return out + "}";
}

absl::StatusOr<std::string> ask_for_predictions(const PredictionServer& server, const PredictionTarget& target,
                                                std::string_view body) {
  for (const std::string& name : {target.model, target.version}) {
    if (name != "." && name != "..") continue;
    return absl::InvalidArgumentError(fmt::format(
        "a model or version cannot be called `{}`, which is a step in a path: --model and --version take names", name));
  }
  const Clock::time_point by = Clock::now() + server.timeout;
  HttpPostOptions options{.timeout = server.timeout,
                          .bearer_token = server.token,
                          .ca_file = server.ca_file,
                          .use_proxy = !server.url.is_loopback};
  std::string url = server.url.base + cloud_path(target);
  auto answer = http_post(url, body, options);
  if (answer.ok() && is_unknown_path(*answer)) {
    url = server.url.base + serving_path(target);
    const auto left = std::chrono::duration_cast<milliseconds>(by - Clock::now());
    options.timeout = std::max(left, milliseconds(1));  // 0 would be no bound
    answer = http_post(url, body, options);
  }
  if (!answer.ok()) return not_answered(answer.status(), server, target.model);
  if (answer->status != kOk) return refused(*answer, url);
  return std::move(answer->body);
}

}  // namespace lockstep
