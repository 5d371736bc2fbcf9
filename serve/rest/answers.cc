// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/answers.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <span>

#include "serve/requests/model_signature.h"
#include "serve/rest/json_text.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

constexpr size_t kBytesPerNumber = 16;  // of text, roughly: what to reserve

size_t classes_of(const PredictAnswer& answer) {
  return answer.classes.empty() ? 0 : answer.probabilities.size() / answer.classes.size();
}

std::span<const float> probabilities_of(const PredictAnswer& answer, size_t example) {
  const size_t n = classes_of(answer);
  return std::span(answer.probabilities).subspan(example * n, n);
}

std::string reserved(const PredictAnswer& answer) {
  std::string out;
  out.reserve(64 + answer.classes.size() * 96 + answer.probabilities.size() * kBytesPerNumber);
  return out;
}

// As google::protobuf prints a message with whitespace: one blank a level.
std::string dump(const ordered_json& json) {
  return json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

ordered_json status_of(const VersionStatus& version) {
  return {{"version", fmt::format("{}", version.version)},
          {"state", std::string(version_state_name(version.state))},
          {"status",
           {{"error_code", absl::StatusCodeToString(version.status.code())},
            {"error_message", std::string(version.status.message())}}}};
}

ordered_json tensor(const SignatureTensor& tensor) {
  ordered_json dims = ordered_json::array();
  for (const int64_t size : tensor.sizes) dims.push_back({{"size", fmt::format("{}", size)}, {"name", ""}});
  return {{"dtype", tensor.is_float ? "DT_FLOAT" : "DT_INT64"},
          {"tensor_shape", {{"dim", dims}, {"unknown_rank", false}}},
          {"name", std::string(tensor.name)}};
}

}  // namespace

std::string row_answer(const PredictAnswer& answer) {
  std::string out = reserved(answer);
  out += "{\n    \"predictions\": [";
  for (size_t i = 0; i < answer.classes.size(); ++i) {
    out += i == 0 ? "\n        {\n            \"classes\": " : ",\n        {\n            \"classes\": ";
    append_integer(out, answer.classes[i]);
    out += ",\n            \"probabilities\": ";
    append_list(out, probabilities_of(answer, i), append_serving_float);
    out += "\n        }";
  }
  return out += "\n    ]\n}";
}

std::string column_answer(const PredictAnswer& answer) {
  std::string out = reserved(answer);
  out += "{\n    \"outputs\": {\n        \"classes\": [";
  for (size_t i = 0; i < answer.classes.size(); ++i) {
    if (i > 0) out += ", ";
    append_integer(out, answer.classes[i]);
  }
  out += "],\n        \"probabilities\": [";
  for (size_t i = 0; i < answer.classes.size(); ++i) {
    out += i == 0 ? "\n            " : ",\n            ";
    append_list(out, probabilities_of(answer, i), append_serving_float);
  }
  return out += "\n        ]\n    }\n}";
}

std::string classify_answer(const PredictAnswer& answer) {
  std::string out = reserved(answer);
  out += "{\n    \"results\": [";
  for (size_t i = 0; i < answer.classes.size(); ++i) {
    out += i == 0 ? "\n        [" : ",\n        [";
    const auto scores = probabilities_of(answer, i);
    for (size_t c = 0; c < scores.size(); ++c) {
      out += c == 0 ? "[\"" : ", [\"";
      append_integer(out, static_cast<int64_t>(c));
      out += "\", ";
      append_serving_float(out, scores[c]);
      out += ']';
    }
    out += ']';
  }
  return out += "\n    ]\n}";
}

std::string cloud_answer(const PredictAnswer& answer) {
  std::string out = reserved(answer);
  out += "{\"predictions\": [";
  for (size_t i = 0; i < answer.classes.size(); ++i) {
    out += i == 0 ? "{\"classes\": " : ", {\"classes\": ";
    append_integer(out, answer.classes[i]);
    out += ", \"probabilities\": ";
    append_list(out, probabilities_of(answer, i), append_cloud_float);
    out += '}';
  }
  return out += "]}";
}

std::string model_status_answer(const std::vector<VersionStatus>& versions) {
  ordered_json list = ordered_json::array();
  for (const VersionStatus& version : versions) list.push_back(status_of(version));
  return dump({{"model_version_status", list}});
}

std::string metadata_answer(const Servable& servable) {
  const auto& [input, classes, probabilities] = signature_of(servable);
  const ordered_json signature = {
      {"inputs", {{std::string(input.alias), tensor(input)}}},
      {"outputs",
       {{std::string(classes.alias), tensor(classes)}, {std::string(probabilities.alias), tensor(probabilities)}}},
      {"method_name", std::string(kPredictMethodName)}};
  ordered_json signatures;
  for (const std::string_view name : kSignatureNames) signatures[std::string(name)] = signature;
  return dump(
      {{"model_spec",
        {{"name", servable.id().model}, {"signature_name", ""}, {"version", fmt::format("{}", servable.id().version)}}},
       {"metadata", {{"signature_def", {{"signature_def", signatures}}}}}});
}

std::string models_answer(const std::vector<std::pair<std::string, std::vector<VersionStatus>>>& models) {
  ordered_json list = ordered_json::array();
  for (const auto& [name, versions] : models) {
    ordered_json of_model = ordered_json::array();
    for (const VersionStatus& version : versions) {
      of_model.push_back({{"version", fmt::format("{}", version.version)},
                          {"label", version.label},
                          {"state", std::string(version_state_name(version.state))},
                          {"error", std::string(version.status.message())},
                          {"default", version.is_default}});
    }
    list.push_back({{"name", name}, {"versions", of_model}});
  }
  return dump({{"models", list}});
}

}  // namespace lockstep
