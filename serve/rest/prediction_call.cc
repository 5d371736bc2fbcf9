// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/prediction_call.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <memory>

#include "serve/rest/abseil_text.h"
#include "serve/rest/answers.h"
#include "serve/rest/http_status.h"
#include "serve/rest/predict_request.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// "image/png" of "Image/PNG; q=1".
std::string media_type(const HttpRequest& request) {
  const std::string_view header = request.header("content-type");
  return absl::AsciiStrToLower(absl::StripAsciiWhitespace(to_abseil(header.substr(0, header.find(';')))));
}

// One request on its way. Lives until it is answered.
class PredictionCall {
 public:
  PredictionCall(Metrics& metrics, ApiResource resource, Clock::time_point received, HttpRespond respond)
      : metrics_(metrics), resource_(resource), received_(received), respond_(std::move(respond)) {}

  void fail(const absl::Status& status) {
    // Cloud ML Engine tells overload by 429, and keeps 503 for versions that are not ready.
    const bool turned_away = cloud() && ran_ && absl::IsUnavailable(status);
    const absl::Status told = turned_away ? absl::ResourceExhaustedError(status.message()) : status;
    const bool of_instances = absl::IsInvalidArgument(told) || absl::IsInternal(told);
    finish(told.code(), !cloud()       ? serving_error(told)
                        : of_instances ? cloud_prediction_error(told)
                                       : cloud_error(told));
  }

  absl::Status parse(const HttpRequest& request, const RestOptions& options) {
    const auto begin = Clock::now();
    const RequestRules rules{.input = servable_->input(),
                             .api = cloud() ? RestApi::kCloudMl : RestApi::kTensorFlowServing,
                             .most_examples = options.most_examples,
                             .most_png_pixels = options.most_png_pixels};
    const std::string type = media_type(request);
    LOCKSTEP_ASSIGN_OR_RETURN(parsed_, type == "application/octet-stream" ? parse_pixel_bytes(request.body, rules)
                                       : type == "image/png"              ? parse_png_request(request.body, rules)
                                       : resource_ == ApiResource::kClassify
                                           ? parse_classify_request(request.body, rules)
                                           : parse_predict_request(request.body, rules));
    prediction_.parse_us = us_since(begin);
    return check_signature();
  }

  static void run(const std::shared_ptr<PredictionCall>& call, Clock::time_point deadline) {
    call->prediction_.examples = call->parsed_.examples;
    call->ran_ = true;
    PredictTask task;
    task.inputs = std::move(call->parsed_.inputs);
    task.examples = call->parsed_.examples;
    task.deadline = deadline;
    task.done = [call](absl::StatusOr<PredictAnswer> answer) {
      answer.ok() ? call->succeed(*answer) : call->fail(answer.status());
    };
    call->servable_->predict(std::move(task));
  }

  void set_servable(std::shared_ptr<Servable> servable) { servable_ = std::move(servable); }

 private:
  bool cloud() const { return resource_ == ApiResource::kCloudPredict; }
  std::string_view api() const {
    return resource_ == ApiResource::kClassify  ? "classify"
           : resource_ == ApiResource::kRegress ? "regress"
                                                : "predict";
  }

  absl::Status check_signature() const {
    const std::string& name = parsed_.signature_name;
    if (name.empty() || name == "serving_default" || name == "prediction") return absl::OkStatus();
    if (cloud()) {
      return absl::InvalidArgumentError(fmt::format(
          "No signature found for signature key {}. Expected serving_default or prediction.", printable(name)));
    }
    return absl::InvalidArgumentError(
        fmt::format("Serving signature name: \"{}\" not found in signature def. Expected \"serving_default\" or "
                    "\"prediction\".",
                    printable(name)));
  }

  void succeed(const PredictAnswer& answer) {
    const auto begin = Clock::now();
    HttpResponse response = json_response(200, cloud()                               ? cloud_answer(answer)
                                               : resource_ == ApiResource::kClassify ? classify_answer(answer)
                                               : parsed_.row                         ? row_answer(answer)
                                                                                     : column_answer(answer));
    prediction_.queue_us = static_cast<double>(answer.times.queue_us);
    prediction_.run_us = static_cast<double>(answer.times.run_us);
    prediction_.batch_examples = answer.times.batch_examples;
    prediction_.model = servable_->id().model;
    prediction_.api = api();
    response.headers.emplace_back(
        "server-timing", fmt::format("parse;dur={:.3f}, queue;dur={:.3f}, run;dur={:.3f}", prediction_.parse_us / 1000,
                                     prediction_.queue_us / 1000, prediction_.run_us / 1000));
    prediction_.answer_us = us_since(begin);
    metrics_.observe(prediction_);
    finish(absl::StatusCode::kOk, std::move(response));
  }

  void finish(absl::StatusCode code, HttpResponse response) {
    metrics_.count_request({.model = servable_ ? std::string_view(servable_->id().model) : std::string_view(),
                            .code = code,
                            .api = api(),
                            .entrypoint = cloud() ? "CLOUD_ML" : "REST",
                            .latency_us = static_cast<int64_t>(us_since(received_))});
    respond_(std::move(response));
  }

  Metrics& metrics_;
  const ApiResource resource_;
  const Clock::time_point received_;
  const HttpRespond respond_;
  std::shared_ptr<Servable> servable_;
  ParsedPredict parsed_;
  PredictionRecord prediction_;
  bool ran_ = false;
};

absl::Status check_request(const ApiPath& path, const HttpRequest& request) {
  if (path.resource == ApiResource::kRegress) {
    return absl::InvalidArgumentError(
        "Expected regression signature method_name to be tensorflow/serving/regress. Was: tensorflow/serving/predict. "
        "This is a classifier: use :predict or :classify.");
  }
  const std::string_view encoding = request.header("content-encoding");
  if (!encoding.empty() && !absl::EqualsIgnoreCase(to_abseil(encoding), "identity")) {
    return absl::InvalidArgumentError(
        fmt::format("Content-Encoding is \"{}\": bodies are taken as they are only", printable(encoding)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status with_models(const absl::Status& status, const ModelStore& store) {
  if (!absl::IsNotFound(status)) return status;
  std::vector<std::string> names = store.models();
  constexpr size_t kMostNames = 20;
  if (names.size() > kMostNames) names.resize(kMostNames);
  return absl::NotFoundError(fmt::format("{}. Models here: {}", status_text(status),
                                         names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
}

void answer_prediction(ModelStore& store, Metrics& metrics, const RestOptions& options, const ApiPath& path,
                       HttpRequest request, HttpRespond respond) {
  const auto call = std::make_shared<PredictionCall>(metrics, path.resource, request.received, std::move(respond));
  auto servable = store.find({path.model, path.version, path.label});
  if (!servable.ok()) return call->fail(with_models(servable.status(), store));
  call->set_servable(*std::move(servable));
  if (const absl::Status status = check_request(path, request); !status.ok()) return call->fail(status);
  if (const absl::Status status = call->parse(request, options); !status.ok()) return call->fail(status);
  PredictionCall::run(call, request.deadline);
}

}  // namespace lockstep
