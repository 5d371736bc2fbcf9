// SPDX-License-Identifier: Apache-2.0
// Prediction requests over HTTP, for a served model of 4 x 3 grey pixels. First character: 0 the body of a prediction,
// 1 of a classification, 2 pixels, 3 a PNG; 4 a whole request: "METHOD PATH", the Content-Type, and the body, a line
// each.
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "serve/rest/plain_request.h"
#include "serve/rest/predict_request.h"
#include "serve/rest/router.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/ready_model.h"
#include "tests/serve/rest/ask_handler.h"

namespace {

using namespace lockstep;

RequestRules rules(RestApi api) {
  RequestRules out;
  out.input = {4, 3, 1};
  out.api = api;
  out.most_examples = 100;
  out.most_png_pixels = 1 << 16;
  return out;
}

void check(const absl::StatusOr<ParsedPredict>& parsed) {
  if (!parsed.ok()) {
    LOCKSTEP_CHECK(absl::IsInvalidArgument(parsed.status()));
    LOCKSTEP_CHECK(parsed.status().message().size() < 10'000);
    return;
  }
  LOCKSTEP_CHECK_GE(parsed->examples, 1);
  LOCKSTEP_CHECK_EQ(static_cast<int64_t>(parsed->inputs.size()), parsed->examples * 12);
  for (const float number : parsed->inputs) LOCKSTEP_CHECK(std::isfinite(number));
}

void append_numbers(const nlohmann::json& value, std::vector<float>& numbers) {
  if (value.is_number()) return numbers.push_back(static_cast<float>(value.get<double>()));
  LOCKSTEP_CHECK(value.is_array());
  for (const auto& element : value) append_numbers(element, numbers);
}

// What is read without a JSON parser is what the parser reads.
void check_plain(const std::string& body) {
  const auto plain = parse_plain_request(body, rules(RestApi::kTensorFlowServing));
  if (!plain) return;
  const auto json = nlohmann::json::parse(body);
  const auto& images = json.at(plain->row ? "instances" : "inputs");
  LOCKSTEP_CHECK_EQ(static_cast<int64_t>(images.size()), plain->examples);
  std::vector<float> numbers;
  for (const auto& image : images) append_numbers(image.is_object() ? image.at("inputs") : image, numbers);
  LOCKSTEP_CHECK(plain->inputs == numbers);
  LOCKSTEP_CHECK(json.value("signature_name", "") == plain->signature_name);
}

std::string take_line(std::string_view& input) {
  const size_t end = std::min(input.find('\n'), input.size());
  const std::string line(input.substr(0, end));
  input.remove_prefix(std::min(end + 1, input.size()));
  return line;
}

void ask_server(std::string_view input) {
  static ReadyModel served;
  static const HttpHandler handler = make_rest_handler(served.store, served.metrics, served.options);
  HttpRequest request;
  request.received = std::chrono::steady_clock::now();
  request.deadline = request.received + std::chrono::hours(1);
  const std::string first = take_line(input);
  const size_t blank = std::min(first.find(' '), first.size());
  request.method = first.substr(0, blank);
  request.path = first.substr(std::min(blank + 1, first.size()));
  request.headers.emplace_back("content-type", take_line(input));
  request.body = std::string(input);
  const HttpResponse response = ask_handler(handler, std::move(request));
  LOCKSTEP_CHECK(response.status >= 200 && response.status < 600);
  if (response.content_type != "application/json") return;
  const auto json = nlohmann::json::parse(response.body, nullptr, false);
  LOCKSTEP_CHECK(json.is_object() && json.contains("error") == (response.status != 200));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const int kind = static_cast<uint8_t>(take_byte(input) - '0') % 5;
  const std::string body(input);
  if (kind == 0) {
    check_plain(body);
    check(parse_predict_request(body, rules(RestApi::kTensorFlowServing)));
    check(parse_predict_request(body, rules(RestApi::kCloudMl)));
  } else if (kind == 1) {
    check(parse_classify_request(body, rules(RestApi::kTensorFlowServing)));
  } else if (kind == 2) {
    check(parse_pixel_bytes(body, rules(RestApi::kTensorFlowServing)));
  } else if (kind == 3) {
    check(parse_png_request(body, rules(RestApi::kTensorFlowServing)));
  } else {
    ask_server(input);
  }
  return 0;
}
