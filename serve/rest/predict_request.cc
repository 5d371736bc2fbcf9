// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/predict_request.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "serve/instances.h"
#include "serve/requests/image_reader.h"
#include "serve/rest/abseil_text.h"
#include "serve/rest/json_instance.h"
#include "serve/rest/plain_request.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

namespace dom = simdjson::dom;

constexpr std::string_view kInstances = "instances", kInputs = "inputs", kExamples = "examples";

// Finds where the text stops being JSON, which simdjson does not tell.
class ErrorFinder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string& token, const nlohmann::json::exception&) override {
    // `position` counts the bytes that were read, the one that does not fit among them.
    text = fmt::format("Invalid value at offset {}: \"{}\"", position - std::min<size_t>(position, 1),
                       printable(token.substr(0, 40)));
    return false;
  }

  std::string text;
};

absl::Status not_json(const std::string& body, simdjson::error_code error) {
  if (body.empty()) return absl::InvalidArgumentError("JSON Parse error: The document is empty");
  std::string where = simdjson::error_message(error);
  constexpr size_t kMostSearched = size_t{1} << 20;  // a second pass over a large body is not worth its time
  if (body.size() <= kMostSearched) {
    ErrorFinder finder;
    if (!nlohmann::json::sax_parse(body, &finder)) where = finder.text;
  }
  return absl::InvalidArgumentError("JSON Parse error: " + where);
}

// One parser a thread keeps its buffers, but not those of an unusually large body.
class ThreadParser {
 public:
  explicit ThreadParser(size_t body_bytes) : large_(body_bytes > (size_t{1} << 20)) {}
  ~ThreadParser() {
    if (large_) parser_ = dom::parser();
  }
  ThreadParser(const ThreadParser&) = delete;
  ThreadParser& operator=(const ThreadParser&) = delete;

  absl::StatusOr<dom::object> parse(const std::string& body) {
    const bool padded = body.capacity() - body.size() >= simdjson::SIMDJSON_PADDING;
    dom::element document;
    if (const auto error = parser_.parse(body.data(), body.size(), !padded).get(document)) {
      return not_json(body, error);
    }
    dom::object map;
    if (document.get(map) != simdjson::SUCCESS) {
      return absl::InvalidArgumentError(fmt::format("Expected a JSON object as the body, got {}", kind_of(document)));
    }
    return map;
  }

 private:
  static thread_local dom::parser parser_;
  const bool large_;
};
thread_local dom::parser ThreadParser::parser_;

std::optional<dom::element> find(const dom::object& map, std::string_view key) {
  dom::element value;
  if (map.at_key(key).get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

std::string keys_of(const dom::object& map) {
  std::string keys;
  for (const dom::key_value_pair field : map) {
    if (keys.size() > 200) return keys + ", …";
    keys += fmt::format("{}'{}'", keys.empty() ? "" : ", ", printable(field.key.substr(0, 40)));
  }
  return keys.empty() ? "none" : keys;
}

// A request body in the making.
class Reading {
 public:
  Reading(const RequestRules& rules, size_t body_bytes) : rules_(rules), body_bytes_(body_bytes), parser_(rules) {}

  absl::StatusOr<ParsedPredict> predict(const dom::object& body) {
    LOCKSTEP_RETURN_IF_ERROR(read_signature(body));
    const auto instances = find(body, kInstances), inputs = find(body, kInputs);
    if (instances && inputs) {
      return wrong(fmt::format("Not formatted correctly: expecting only one of '{}' or '{}' keys to exist", kInputs,
                               kInstances));
    }
    if (!instances && !inputs) {
      return wrong(fmt::format("Missing '{}' or '{}' key; the keys of the body: {}. Example: {}", kInputs, kInstances,
                               keys_of(body), example(kInstances)));
    }
    out_.row = instances.has_value();
    LOCKSTEP_RETURN_IF_ERROR(instances ? read_elements(kInstances, *instances) : read_column(*inputs));
    return std::move(out_);
  }

  absl::StatusOr<ParsedPredict> classify(const dom::object& body) {
    LOCKSTEP_RETURN_IF_ERROR(read_signature(body));
    const auto examples = find(body, kExamples);
    if (!examples) {
      return wrong(
          fmt::format("When method is classify, key '{}' is expected and was not found; the keys of the "
                      "body: {}. Example: {}",
                      kExamples, keys_of(body), example(kExamples)));
    }
    LOCKSTEP_RETURN_IF_ERROR(read_elements(kExamples, *examples));
    return std::move(out_);
  }

 private:
  absl::Status wrong(const std::string& detail) const {
    return rules_.api == RestApi::kCloudMl ? invalid_inputs(detail) : absl::InvalidArgumentError(detail);
  }

  absl::Status wrong_element(std::string_view key, int64_t index, const absl::Status& status) const {
    std::string_view detail = status_text(status);
    if (detail.ends_with('.')) detail.remove_suffix(1);
    if (rules_.api == RestApi::kCloudMl) {
      return invalid_inputs(fmt::format("{} (instance {}). Example: {}", detail, index, example(key)));
    }
    return absl::InvalidArgumentError(fmt::format("Failed to process element: {} of '{}' list. Error: {}. Example: {}",
                                                  index, key, detail, example(key)));
  }

  // A request in the form that `key` wants.
  std::string example(std::string_view key) const {
    const int64_t size = rules_.input.size();
    const std::string value =
        size > 3 ? fmt::format("[0.0, 0.5, …, 1.0]") : fmt::format("[{}]", size == 1 ? "0.5" : "0.0, 0.5");
    const std::string element = key == kExamples ? fmt::format("{{\"{}\": {}}}", kInputName, value) : value;
    return fmt::format("{{\"{}\": [{}]}}, with {} numbers from 0 to 1 for each image", key, element, size);
  }

  absl::Status read_signature(const dom::object& body) {
    const auto name = find(body, "signature_name");
    if (!name) return absl::OkStatus();
    std::string_view text;
    if (name->get(text) != simdjson::SUCCESS) {
      return wrong(fmt::format("'signature_name' key must be a string value, got {}", kind_of(*name)));
    }
    out_.signature_name = std::string(text);
    return absl::OkStatus();
  }

  // "inputs": a list of values, {"inputs": that list}, or one {"b64": …}.
  absl::Status read_column(const dom::element& inputs) {
    if (is_binary(inputs)) return read_one(inputs);
    dom::object map;
    if (inputs.get(map) != simdjson::SUCCESS) return read_elements(kInputs, inputs);
    const auto named = find(map, kInputName);
    if (!named) {
      return wrong(fmt::format("Missing named input: {} in '{}' object; its keys: {}. Example: {}", kInputName, kInputs,
                               keys_of(map), example(kInputs)));
    }
    return is_binary(*named) ? read_one(*named) : read_elements(kInputs, *named);
  }

  absl::Status read_one(const dom::element& value) {
    out_.examples = 1;
    out_.inputs.resize(static_cast<size_t>(rules_.input.size()));
    const absl::Status status = parser_.read(value, out_.inputs);
    return status.ok() ? status : wrong_element(kInputs, 0, status);
  }

  absl::Status read_elements(std::string_view key, const dom::element& value) {
    dom::array list;
    if (value.get(list) != simdjson::SUCCESS) {
      return wrong(fmt::format("Expecting '{}' to be a list, got {}. Example: {}", key, kind_of(value), example(key)));
    }
    LOCKSTEP_RETURN_IF_ERROR(check_list(key, value, list));
    const auto size = static_cast<size_t>(rules_.input.size());
    // Every number takes a byte of the body or more, but for those of PNGs: empty lists cost no memory.
    out_.inputs.reserve(std::min(list.size() * size, body_bytes_));
    for (const dom::element element : list) {
      out_.inputs.resize(out_.inputs.size() + size);
      const auto numbers = std::span(out_.inputs).subspan(static_cast<size_t>(out_.examples) * size, size);
      const absl::Status status = parser_.read(element, numbers);
      if (!status.ok()) return wrong_element(key, out_.examples, status);
      ++out_.examples;
    }
    return absl::OkStatus();
  }

  absl::Status check_list(std::string_view key, const dom::element& value, const dom::array& list) const {
    if (list.begin() == list.end()) {
      return wrong(fmt::format("No values in '{}' list. Example: {}", key, example(key)));
    }
    const dom::element first = *list.begin();
    if (first.is_number()) {  // the commonest slip: one image that is not in a list
      return wrong(fmt::format("'{}' has shape {}, expected a list of images, each of shape {}. For one image write {}",
                               key, shape_text(value), accepted_shapes(rules_.input), example(key)));
    }
    if (static_cast<int64_t>(list.size()) > rules_.most_examples) {
      return wrong(fmt::format("'{}' has {} elements, at most {} are taken in one request", key, list.size(),
                               rules_.most_examples));
    }
    return absl::OkStatus();
  }

  const RequestRules& rules_;
  const size_t body_bytes_;
  InstanceParser parser_;
  ParsedPredict out_;
};

template <typename Read>
absl::StatusOr<ParsedPredict> parse_body(const std::string& body, const RequestRules& rules, Read read) {
  ThreadParser parser(body.size());
  const auto map = parser.parse(body);
  if (!map.ok()) {
    return rules.api == RestApi::kCloudMl ? invalid_inputs(status_text(map.status())) : map.status();
  }
  return read(Reading(rules, body.size()), *map);
}

}  // namespace

absl::StatusOr<ParsedPredict> parse_predict_request(const std::string& body, const RequestRules& rules) {
  if (auto plain = parse_plain_request(body, rules)) return *std::move(plain);
  return parse_body(body, rules, [](Reading reading, const dom::object& map) { return reading.predict(map); });
}

absl::StatusOr<ParsedPredict> parse_classify_request(const std::string& body, const RequestRules& rules) {
  return parse_body(body, rules, [](Reading reading, const dom::object& map) { return reading.classify(map); });
}

absl::StatusOr<ParsedPredict> parse_pixel_bytes(std::string_view body, const RequestRules& rules) {
  const auto size = static_cast<size_t>(rules.input.size());
  const auto& [h, w, c] = rules.input;
  if (body.empty() || body.size() % size != 0) {
    return absl::InvalidArgumentError(fmt::format(
        "Input mismatch: got {} bytes, expected a multiple of {}: {}x{}x{} uint8 for each image, row by row",
        body.size(), size, h, w, c));
  }
  ParsedPredict out;
  out.examples = static_cast<int64_t>(body.size() / size);
  if (out.examples > rules.most_examples) {
    return absl::InvalidArgumentError(fmt::format("got {} images of {} bytes, at most {} are taken in one request",
                                                  out.examples, size, rules.most_examples));
  }
  out.inputs.resize(body.size());
  LOCKSTEP_RETURN_IF_ERROR(ImageReader(rules).read_pixels(body, out.inputs));
  return out;
}

absl::StatusOr<ParsedPredict> parse_png_request(std::string_view body, const RequestRules& rules) {
  ParsedPredict out;
  out.examples = 1;
  out.inputs.resize(static_cast<size_t>(rules.input.size()));
  LOCKSTEP_RETURN_IF_ERROR(ImageReader(rules).read_png(body, out.inputs));
  return out;
}

}  // namespace lockstep
