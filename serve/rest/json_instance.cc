// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/json_instance.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include <cmath>
#include <limits>
#include <vector>

#include "serve/instances.h"
#include "serve/rest/abseil_text.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

namespace dom = simdjson::dom;

constexpr std::string_view kBinaryKey = "b64";

// simdjson keeps 24 bits of a list's length; lists are counted by hand where that matters.
size_t count(const dom::array& list) {
  size_t n = 0;
  for (auto at = list.begin(); at != list.end(); ++at) ++n;
  return n;
}

// The sizes of nested lists along their first elements; no more levels than an error text wants.
std::vector<size_t> shape_of(const dom::element& value) {
  constexpr size_t kMostLevels = 5;
  std::vector<size_t> shape;
  dom::element at = value;
  dom::array list;
  while (shape.size() < kMostLevels && at.get(list) == simdjson::SUCCESS) {
    shape.push_back(count(list));
    if (shape.back() == 0) break;
    at = *list.begin();
  }
  return shape;
}

// Numbers on their way from nested lists of a shape that the first elements have.
class NestedList {
 public:
  NestedList(std::span<const size_t> shape, std::span<float> out) : shape_(shape), out_(out) {}

  absl::Status read(const dom::array& list, size_t level) {
    const bool innermost = level + 1 == shape_.size();
    size_t i = 0;
    for (const dom::element element : list) {
      if (i == shape_[level]) return wrong_length(list, level);
      if (innermost) {
        double number = 0;
        if (element.get(number) != simdjson::SUCCESS) return not_a_number(element);
        if (!(std::abs(number) <= kMost)) return too_large(number);
        out_[at_++] = static_cast<float>(number);
      } else {
        dom::array inner;
        if (element.get(inner) != simdjson::SUCCESS) return not_a_list(element, level);
        LOCKSTEP_RETURN_IF_ERROR(read(inner, level + 1));
      }
      ++i;
    }
    return i == shape_[level] ? absl::OkStatus() : wrong_length(list, level);
  }

 private:
  static constexpr double kMost = std::numeric_limits<float>::max();

  absl::Status wrong_length(const dom::array& list, size_t level) const {
    const size_t rest = level == 0 ? 0 : at_;
    return input_mismatch(
        fmt::format("got a list of {} where {} belong, at or after number {}", count(list), shape_[level], rest));
  }
  absl::Status not_a_number(const dom::element& element) const {
    return input_mismatch(fmt::format("got {} as number {}", kind_of(element), at_));
  }
  absl::Status not_a_list(const dom::element& element, size_t level) const {
    return input_mismatch(
        fmt::format("got {} where a list of {} belongs, at number {}", kind_of(element), shape_[level + 1], at_));
  }
  absl::Status too_large(double number) const {
    return input_mismatch(fmt::format("number {} is {}, which is no float32", at_, number));
  }

  const std::span<const size_t> shape_;
  const std::span<float> out_;
  size_t at_ = 0;  // numbers read
};

absl::Status check_names(const dom::object& instance) {
  std::vector<std::string> others;
  bool found = false;
  for (const dom::key_value_pair field : instance) {
    if (field.key == kInputName) {
      found = true;
    } else if (others.size() < 10) {
      others.push_back(printable(field.key));
    }
  }
  if (!others.empty() && found) {
    return absl::InvalidArgumentError(fmt::format("Unexpected tensor name: {}", others[0]));
  }
  if (!others.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("Expected tensor name: {}, got tensor name: ['{}'].", kInputName, fmt::join(others, "', '")));
  }
  if (!found) {
    return absl::InvalidArgumentError(fmt::format("Input {} was missing in at least one input instance.", kInputName));
  }
  return absl::OkStatus();
}

}  // namespace

bool is_binary(const dom::element& value) {
  dom::object map;
  if (value.get(map) != simdjson::SUCCESS || map.begin() == map.end()) return false;
  auto field = map.begin();
  return field.key() == kBinaryKey && ++field == map.end();
}

std::string kind_of(const dom::element& value) {
  switch (value.type()) {
    case dom::element_type::ARRAY:
      return fmt::format("a list of {}", count(dom::array(value)));
    case dom::element_type::OBJECT:
      return "a map";
    case dom::element_type::STRING:
      return "a string";
    case dom::element_type::BOOL:
      return "a boolean";
    case dom::element_type::NULL_VALUE:
      return "a null";
    default:
      return "a number";
  }
}

std::string shape_text(const dom::element& value) { return fmt::format("[{}]", fmt::join(shape_of(value), ",")); }

absl::Status InstanceParser::read(const dom::element& instance, std::span<float> out) {
  dom::object map;
  if (instance.get(map) != simdjson::SUCCESS || is_binary(instance)) return read_value(instance, out);
  LOCKSTEP_RETURN_IF_ERROR(check_names(map));
  return read_value(map.at_key(kInputName).value_unsafe(), out);
}

absl::Status InstanceParser::read_value(const dom::element& value, std::span<float> out) {
  if (value.is_array()) return read_list(value, out);
  if (is_binary(value)) return read_binary(dom::object(value).at_key(kBinaryKey).value_unsafe(), out);
  return shape_mismatch(rules_.input, kind_of(value));
}

absl::Status InstanceParser::read_list(const dom::element& list, std::span<float> out) const {
  const std::vector<size_t> shape = shape_of(list);
  const auto h = static_cast<size_t>(rules_.input.height), w = static_cast<size_t>(rules_.input.width),
             c = static_cast<size_t>(rules_.input.depth);
  const bool fits =
      shape == std::vector{out.size()} || shape == std::vector{h, w, c} || (c == 1 && shape == std::vector{h, w});
  if (!fits) return shape_mismatch(rules_.input, fmt::format("shape [{}]", fmt::join(shape, ",")));
  return NestedList(shape, out).read(dom::array(list), 0);
}

absl::Status InstanceParser::read_binary(const dom::element& text, std::span<float> out) {
  std::string_view encoded;
  if (text.get(encoded) != simdjson::SUCCESS) {
    return input_mismatch(fmt::format("the value of {} is {}, expected a string of base64", kBinaryKey, kind_of(text)));
  }
  if (!absl::Base64Unescape(to_abseil(encoded), &bytes_)) {
    return input_mismatch(fmt::format("the value of {} is no base64 text", kBinaryKey));
  }
  return images_.read(bytes_, out);
}

}  // namespace lockstep
