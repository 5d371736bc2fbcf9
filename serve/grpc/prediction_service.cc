// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/prediction_service.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/protobuf_bytes.h"
#include "serve/grpc/answer_messages.h"
#include "serve/grpc/example_input.h"
#include "serve/grpc/parsed_size.h"
#include "serve/grpc/proto/serving.pb.h"
#include "serve/grpc/tensor_input.h"
#include "serve/instances.h"
#include "serve/requests/image_reader.h"
#include "serve/requests/model_signature.h"
#include "serve/requests/prediction_trace.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

namespace serving = tensorflow::serving;

constexpr char kEntrypoint[] = "GRPC";

template <typename Message>
absl::StatusOr<Message> parse_message(const std::string& bytes) {
  LOCKSTEP_RETURN_IF_ERROR(check_parsed_size(bytes, *Message::descriptor()));
  Message message;
  if (!parse_protobuf(bytes, &message)) {
    return absl::InvalidArgumentError(
        fmt::format("the {} bytes of the request are no {}", bytes.size(), Message::descriptor()->full_name()));
  }
  return message;
}

// Which model a request asks for.
template <typename Message>
absl::StatusOr<ModelSelector> selector_of(const Message& request) {
  if (!request.has_model_spec()) return absl::InvalidArgumentError("Missing ModelSpec");
  const serving::ModelSpec& spec = request.model_spec();
  if (spec.name().empty()) return absl::InvalidArgumentError("ModelSpec has no name specified.");
  ModelSelector selector{printable(spec.name()), std::nullopt, spec.version_label()};
  if (spec.has_version()) selector.version = spec.version().value();
  return selector;
}

std::string join_names(std::vector<std::string> names) {
  std::ranges::sort(names);
  constexpr size_t kMostNames = 10;
  if (names.size() > kMostNames) names.resize(kMostNames);
  for (std::string& name : names) name = printable(name.substr(0, 40));
  return fmt::format("{}", fmt::join(names, ","));
}

// The tensor of the images, as the only one.
absl::StatusOr<const proto::TensorProto*> only_input(const serving::PredictRequest& request) {
  std::vector<std::string> names, extra;
  for (const auto& [name, tensor] : request.inputs()) {
    names.push_back(name);
    if (name != kInputName) extra.push_back(name);
  }
  const auto found = request.inputs().find(std::string(kInputName));
  const bool is_there = found != request.inputs().end();
  if (is_there && extra.empty()) return &found->second;
  if (names.size() == 1) {
    return absl::InvalidArgumentError(
        fmt::format("input tensor alias not found in signature: {}. Inputs expected to be in the set {{{}}}.",
                    join_names(extra), kInputName));
  }
  return absl::InvalidArgumentError(fmt::format(
      "input size does not match signature: {}!=1 len({{{}}}) != len({{{}}}). Sent extra: {{{}}}. Missing but "
      "required: {{{}}}.",
      names.size(), join_names(names), kInputName, join_names(extra), is_there ? "" : kInputName));
}

// Which outputs the answer is to have.
absl::Status read_filter(const serving::PredictRequest& request, AnsweredBy& by) {
  if (request.output_filter().empty()) return absl::OkStatus();
  std::set<std::string> wanted;
  for (const std::string& name : request.output_filter()) {
    if (name != kClassesOutput && name != kProbabilitiesOutput) {
      return absl::InvalidArgumentError(
          fmt::format("output tensor alias not found in signature: {} Outputs expected to be in the set {{{},{}}}.",
                      printable(name), kClassesOutput, kProbabilitiesOutput));
    }
    if (!wanted.insert(name).second) {
      return absl::InvalidArgumentError(fmt::format("duplicate output tensor alias: {}", name));
    }
  }
  by.classes = wanted.contains(std::string(kClassesOutput));
  by.probabilities = wanted.contains(std::string(kProbabilitiesOutput));
  return absl::OkStatus();
}

// How Predict and Classify differ.
struct PredictMethod {
  using Request = serving::PredictRequest;
  static constexpr const char* kApi = "predict";

  static absl::StatusOr<ParsedPredict> parse(const Request& request, const RequestRules& rules, AnsweredBy& by) {
    LOCKSTEP_RETURN_IF_ERROR(read_filter(request, by));
    LOCKSTEP_ASSIGN_OR_RETURN(const proto::TensorProto* tensor, only_input(request));
    return read_tensor(*tensor, rules);
  }
  static absl::Status no_signature(const std::string& name) {
    return absl::FailedPreconditionError(
        fmt::format("Serving signature key \"{}\" not found. Expected \"serving_default\" or \"prediction\".", name));
  }
  static constexpr auto respond = predict_response;
};

struct ClassifyMethod {
  using Request = serving::ClassificationRequest;
  static constexpr const char* kApi = "classify";

  static absl::StatusOr<ParsedPredict> parse(const Request& request, const RequestRules& rules, AnsweredBy&) {
    return read_examples(request.input(), rules);
  }
  static absl::Status no_signature(const std::string& name) {
    return absl::InvalidArgumentError(
        fmt::format("No signature was found with the name: {}. Expected \"serving_default\" or \"prediction\".", name));
  }
  static constexpr auto respond = classification_response;
};

// One prediction on its way. Lives until it is answered.
template <typename Method>
class PredictionCall {
 public:
  PredictionCall(ServingMetrics& metrics, const GrpcRequest& request, GrpcRespond respond)
      : trace_(metrics, Method::kApi, kEntrypoint, request.received), respond_(std::move(respond)) {}

  absl::StatusOr<ParsedPredict> parse(ModelStore& store, const RestOptions& options, const std::string& body) {
    return trace_.parse([&]() -> absl::StatusOr<ParsedPredict> {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto request, parse_message<typename Method::Request>(body));
      LOCKSTEP_ASSIGN_OR_RETURN(const ModelSelector selector, selector_of(request));
      auto servable = store.find(selector);
      if (!servable.ok()) return with_models(servable.status(), store);
      trace_.set_servable(*std::move(servable));
      by_.signature_name = request.model_spec().signature_name();
      if (!is_signature_name(by_.signature_name)) return Method::no_signature(printable(by_.signature_name));
      const RequestRules rules{.input = trace_.servable().input(),
                               .most_examples = options.most_examples,
                               .most_png_pixels = options.most_png_pixels};
      return Method::parse(request, rules, by_);
    });
  }

  static void run(const std::shared_ptr<PredictionCall>& call, ParsedPredict parsed,
                  PredictionTrace::Clock::time_point deadline) {
    call->trace_.run(std::move(parsed), deadline, [call](absl::StatusOr<PredictAnswer> answer) {
      answer.ok() ? call->succeed(*answer) : call->fail(answer.status());
    });
  }

  void fail(const absl::Status& status) {
    trace_.finish(status.code());
    respond_(status);
  }

 private:
  void succeed(const PredictAnswer& answer) {
    const auto begin = PredictionTrace::Clock::now();
    std::string response = Method::respond(trace_.servable(), by_, answer);
    trace_.observe(answer, PredictionTrace::us_since(begin));
    trace_.finish(absl::StatusCode::kOk);
    respond_(std::move(response));
  }

  PredictionTrace trace_;
  const GrpcRespond respond_;
  AnsweredBy by_;
};

class PredictionService {
 public:
  PredictionService(ModelStore& store, ServingMetrics& metrics, RestOptions options)
      : store_(store), metrics_(metrics), options_(std::move(options)) {}

  void handle(GrpcRequest request, GrpcRespond respond) const {
    const std::string_view method = request.method;
    if (method == method_of(kPredictionService, "Predict")) return predict<PredictMethod>(request, std::move(respond));
    if (method == method_of(kPredictionService, "Classify")) {
      return predict<ClassifyMethod>(request, std::move(respond));
    }
    if (method == method_of(kPredictionService, "GetModelMetadata")) return metadata(request, respond);
    if (method == method_of(kModelService, "GetModelStatus")) return status(request, respond);
    respond(refusal(method));
  }

 private:
  static std::string method_of(std::string_view service, std::string_view name) {
    return fmt::format("/{}/{}", service, name);
  }

  static absl::Status refusal(std::string_view method) {
    if (method == method_of(kPredictionService, "Regress")) return no_regression("Predict or Classify");
    return absl::UnimplementedError(
        fmt::format("{}: this server has {} (Predict, Classify, GetModelMetadata), {} (GetModelStatus) and "
                    "grpc.health.v1.Health (Check, Watch)",
                    printable(method.substr(0, 200)), kPredictionService, kModelService));
  }

  template <typename Method>
  void predict(const GrpcRequest& request, GrpcRespond respond) const {
    const auto call = std::make_shared<PredictionCall<Method>>(metrics_, request, std::move(respond));
    auto parsed = call->parse(store_, options_, request.body);
    if (!parsed.ok()) return call->fail(parsed.status());
    PredictionCall<Method>::run(call, *std::move(parsed), request.deadline);
  }

  void metadata(const GrpcRequest& request, const GrpcRespond& respond) const {
    PredictionTrace trace(metrics_, "metadata", kEntrypoint, request.received);
    const auto answer = [&]() -> absl::StatusOr<std::string> {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto asked, parse_message<serving::GetModelMetadataRequest>(request.body));
      LOCKSTEP_ASSIGN_OR_RETURN(const ModelSelector selector, selector_of(asked));
      if (asked.metadata_field().empty()) {
        return absl::InvalidArgumentError(
            "GetModelMetadataRequest must specify at least one metadata_field; it is "
            "\"signature_def\"");
      }
      for (const std::string& field : asked.metadata_field()) {
        if (field == "signature_def") continue;
        return absl::InvalidArgumentError(
            fmt::format("Metadata field {} is not supported; \"signature_def\" is", printable(field)));
      }
      auto servable = store_.find(selector);
      if (!servable.ok()) return with_models(servable.status(), store_);
      trace.set_servable(*servable);
      return metadata_response(**servable);
    }();
    trace.finish(answer.status().code());
    respond(answer);
  }

  void status(const GrpcRequest& request, const GrpcRespond& respond) const {
    std::string model;
    const auto answer = [&]() -> absl::StatusOr<std::string> {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto asked, parse_message<serving::GetModelStatusRequest>(request.body));
      LOCKSTEP_ASSIGN_OR_RETURN(const ModelSelector selector, selector_of(asked));
      const auto versions = store_.status(selector);
      if (!versions.ok()) return with_models(versions.status(), store_);
      model = selector.model;
      return status_response(*versions);
    }();
    metrics_.count_request({.model = model,
                            .code = answer.status().code(),
                            .api = "status",
                            .entrypoint = kEntrypoint,
                            .latency_us = static_cast<int64_t>(PredictionTrace::us_since(request.received))});
    respond(answer);
  }

  ModelStore& store_;
  ServingMetrics& metrics_;
  const RestOptions options_;
};

}  // namespace

GrpcHandler make_prediction_service(ModelStore& store, ServingMetrics& metrics, RestOptions options) {
  const auto service = std::make_shared<const PredictionService>(store, metrics, std::move(options));
  return
      [service](GrpcRequest request, GrpcRespond respond) { service->handle(std::move(request), std::move(respond)); };
}

}  // namespace lockstep
