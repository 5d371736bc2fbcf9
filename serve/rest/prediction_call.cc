// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/prediction_call.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "serve/requests/model_signature.h"
#include "serve/requests/prediction_trace.h"
#include "serve/rest/abseil_text.h"
#include "serve/rest/answers.h"
#include "serve/rest/http_status.h"
#include "serve/rest/predict_request.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

using Clock = PredictionTrace::Clock;

// "image/png" of "Image/PNG; q=1".
std::string media_type(const HttpRequest& request) {
  const std::string_view header = request.header("content-type");
  return absl::AsciiStrToLower(absl::StripAsciiWhitespace(to_abseil(header.substr(0, header.find(';')))));
}

std::string_view api_of(ApiResource resource) {
  return resource == ApiResource::kClassify ? "classify" : resource == ApiResource::kRegress ? "regress" : "predict";
}

// One request on its way. Lives until it is answered.
class PredictionCall {
 public:
  PredictionCall(ServingMetrics& metrics, ApiResource resource, Clock::time_point received, HttpRespond respond)
      : resource_(resource),
        trace_(metrics, api_of(resource), cloud() ? "CLOUD_ML" : "REST", received),
        respond_(std::move(respond)) {}

  void fail(const absl::Status& status) {
    // Cloud ML Engine tells overload by 429, and keeps 503 for versions that are not ready.
    const bool turned_away = cloud() && trace_.has_run() && absl::IsUnavailable(status);
    const absl::Status told = turned_away ? absl::ResourceExhaustedError(status.message()) : status;
    const bool of_instances = absl::IsInvalidArgument(told) || absl::IsInternal(told);
    finish(told.code(), !cloud()       ? serving_error(told)
                        : of_instances ? cloud_prediction_error(told)
                                       : cloud_error(told));
  }

  absl::Status parse(const HttpRequest& request, const RestOptions& options) {
    const RequestRules rules{.input = trace_.servable().input(),
                             .api = cloud() ? RestApi::kCloudMl : RestApi::kTensorFlowServing,
                             .most_examples = options.most_examples,
                             .most_png_pixels = options.most_png_pixels};
    const std::string type = media_type(request);
    LOCKSTEP_ASSIGN_OR_RETURN(parsed_, trace_.parse([&] {
      return type == "application/octet-stream"    ? parse_pixel_bytes(request.body, rules)
             : type == "image/png"                 ? parse_png_request(request.body, rules)
             : resource_ == ApiResource::kClassify ? parse_classify_request(request.body, rules)
                                                   : parse_predict_request(request.body, rules);
    }));
    return check_signature();
  }

  static void run(const std::shared_ptr<PredictionCall>& call, Clock::time_point deadline) {
    call->row_ = call->parsed_.row;
    call->trace_.run(std::move(call->parsed_), deadline, [call](absl::StatusOr<PredictAnswer> answer) {
      answer.ok() ? call->succeed(*answer) : call->fail(answer.status());
    });
  }

  void set_servable(std::shared_ptr<Servable> servable) { trace_.set_servable(std::move(servable)); }

 private:
  bool cloud() const { return resource_ == ApiResource::kCloudPredict; }

  absl::Status check_signature() const {
    const std::string& name = parsed_.signature_name;
    if (is_signature_name(name)) return absl::OkStatus();
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
                                               : row_                                ? row_answer(answer)
                                                                                     : column_answer(answer));
    trace_.observe(answer, PredictionTrace::us_since(begin));
    const PredictionRecord& times = trace_.times();
    response.headers.emplace_back(
        "server-timing", fmt::format("parse;dur={:.3f}, queue;dur={:.3f}, run;dur={:.3f}", times.parse_us / 1000,
                                     times.queue_us / 1000, times.run_us / 1000));
    finish(absl::StatusCode::kOk, std::move(response));
  }

  void finish(absl::StatusCode code, HttpResponse response) {
    trace_.finish(code);
    respond_(std::move(response));
  }

  const ApiResource resource_;
  PredictionTrace trace_;
  const HttpRespond respond_;
  ParsedPredict parsed_;
  bool row_ = true;  // of what was parsed
};

absl::Status check_request(const ApiPath& path, const HttpRequest& request) {
  if (path.resource == ApiResource::kRegress) return no_regression(":predict or :classify");
  const std::string_view encoding = request.header("content-encoding");
  if (!encoding.empty() && !absl::EqualsIgnoreCase(to_abseil(encoding), "identity")) {
    return absl::InvalidArgumentError(
        fmt::format("Content-Encoding is \"{}\": bodies are taken as they are only", printable(encoding)));
  }
  return absl::OkStatus();
}

}  // namespace

void answer_prediction(ModelStore& store, ServingMetrics& metrics, const RestOptions& options, const ApiPath& path,
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
