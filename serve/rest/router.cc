// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/router.h"

#include <absl/strings/match.h>
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>

#include "serve/http/http_policy.h"
#include "serve/requests/model_signature.h"
#include "serve/rest/abseil_text.h"
#include "serve/rest/answers.h"
#include "serve/rest/api_path.h"
#include "serve/rest/http_status.h"
#include "serve/rest/prediction_call.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

constexpr std::string_view kMetricsPath = "/monitoring/prometheus/metrics";

// HEAD asks for what GET would answer.
bool takes(std::string_view wanted, std::string_view method) {
  return method == wanted || (wanted == "GET" && method == "HEAD");
}

HttpResponse wrong_method(const HttpRequest& request, std::string_view wanted) {
  HttpResponse response = serving_error(absl::InvalidArgumentError(fmt::format(
      "Malformed request: {} {}. This path takes {}.", printable(request.method), printable(request.path), wanted)));
  response.status = 405;
  response.headers.emplace_back("allow", wanted == "GET" ? "GET, HEAD" : std::string(wanted));
  return response;
}

class Router {
 public:
  Router(ModelStore& store, ServingMetrics& metrics, RestOptions options)
      : store_(store), metrics_(metrics), options_(std::move(options)) {}

  void handle(HttpRequest request, HttpRespond respond) const {
    if (absl::StartsWithIgnoreCase(request.path, "/v1/")) return api(std::move(request), std::move(respond));
    respond(other(request));
  }

 private:
  void api(HttpRequest request, HttpRespond respond) const {
    const auto path = parse_api_path(request.path);
    if (!path.ok()) return respond(malformed(request, path.status()));
    const std::string_view wanted = method_of(path->resource);
    if (!takes(wanted, request.method)) return respond(wrong_method(request, wanted));
    if (wanted == "POST") {
      return answer_prediction(store_, metrics_, options_, *path, std::move(request), std::move(respond));
    }
    const auto answer = about_models(*path);
    metrics_.count_request({.model = answer.ok() ? std::string_view(path->model) : std::string_view(),
                            .code = answer.status().code(),
                            .api = path->resource == ApiResource::kMetadata ? "metadata" : "status",
                            .entrypoint = "REST",
                            .latency_us = std::chrono::duration_cast<std::chrono::microseconds>(
                                              std::chrono::steady_clock::now() - request.received)
                                              .count()});
    respond(answer.ok() ? json_response(200, *answer) : serving_error(answer.status()));
  }

  HttpResponse malformed(const HttpRequest& request, const absl::Status& status) const {
    if (!absl::IsNotFound(status)) return serving_error(status);
    return serving_error(absl::InvalidArgumentError(
        fmt::format("Malformed request: {} {}. Expected GET /v1/models, GET /v1/models/NAME[/versions/N|/labels/L]"
                    "[/metadata], POST /v1/models/NAME[/versions/N|/labels/L]:predict or :classify, or POST "
                    "/v1/projects/P/models/NAME[/versions/V]:predict. N is a number; the name of a version is a label.",
                    printable(request.method), printable(request.path))));
  }

  absl::StatusOr<std::string> about_models(const ApiPath& path) const {
    const ModelSelector selector{path.model, path.version, path.label};
    if (path.resource == ApiResource::kMetadata) {
      const auto servable = store_.find(selector);
      if (!servable.ok()) return with_models(servable.status(), store_);
      return metadata_answer(**servable);
    }
    if (path.resource == ApiResource::kModels) return models_answer(all_models());
    const auto versions = store_.status(selector);
    if (!versions.ok()) return with_models(versions.status(), store_);
    return model_status_answer(*versions);
  }

  using ModelVersions = std::vector<std::pair<std::string, std::vector<VersionStatus>>>;
  ModelVersions all_models() const {
    ModelVersions models;
    for (const std::string& name : store_.models()) {
      auto versions = store_.status({name, std::nullopt, ""});
      models.emplace_back(name, versions.ok() ? *std::move(versions) : std::vector<VersionStatus>());
    }
    return models;
  }

  HttpResponse other(const HttpRequest& request) const {
    const bool known = request.path == "/healthz" || request.path == "/readyz" || request.path == kMetricsPath;
    if (known && !takes("GET", request.method)) return wrong_method(request, "GET");
    if (request.path == "/healthz") return text_response(200, "ok\n");
    if (request.path == "/readyz") return readiness(request);
    if (request.path == kMetricsPath) return metrics_page();
    if (options_.pages) {
      if (auto page = options_.pages(request)) {
        return takes("GET", request.method) ? *std::move(page) : wrong_method(request, "GET");
      }
    }
    return serving_error(
        absl::NotFoundError(fmt::format("Not found: {}. The API is under /v1/models.", printable(request.path))));
  }

  // Anyone may ask; names and paths are for those who have the token.
  HttpResponse readiness(const HttpRequest& request) const {
    if (store_.ready()) return text_response(200, "ready\n");
    const std::string& token = options_.bearer_token;
    const bool is_stranger = !token.empty() && !is_bearer(request.header("authorization"), token);
    HttpResponse response = text_response(503, "not ready\n" + (is_stranger ? "" : states()));
    response.headers.emplace_back("retry-after", "1");
    return response;
  }

  std::string states() const {
    std::string text;
    for (const auto& [name, versions] : all_models()) {
      for (const VersionStatus& version : versions) {
        text += fmt::format("{} version {}: {}{}{}\n", name, version.version, version_state_name(version.state),
                            version.status.ok() ? "" : ", ", status_text(version.status));
      }
    }
    return text;
  }

  HttpResponse metrics_page() const {
    std::string page = metrics_.prometheus();
    page += metric_heading("lockstep_serving_model_version_state", "gauge",
                           "State of a version: 10 START, 20 LOADING, 30 AVAILABLE, 40 UNLOADING.");
    for (const auto& [name, versions] : all_models()) {
      for (const VersionStatus& version : versions) {
        page +=
            fmt::format("lockstep_serving_model_version_state{{{},{}}} {}\n", metric_label("model_name", name),
                        metric_label("version", fmt::format("{}", version.version)), static_cast<int>(version.state));
      }
    }
    HttpResponse response = text_response(200, std::move(page));
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
  }

  ModelStore& store_;
  ServingMetrics& metrics_;
  const RestOptions options_;
};

}  // namespace

HttpHandler make_rest_handler(ModelStore& store, ServingMetrics& metrics, RestOptions options) {
  const auto router = std::make_shared<const Router>(store, metrics, std::move(options));
  return [router](HttpRequest request, HttpRespond respond) { router->handle(std::move(request), std::move(respond)); };
}

}  // namespace lockstep
