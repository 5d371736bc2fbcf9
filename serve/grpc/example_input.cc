// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/example_input.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "serve/grpc/proto/serving.pb.h"
#include "serve/instances.h"
#include "serve/requests/image_reader.h"
#include "serve/rest/abseil_text.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

using tensorflow::serving::Example;
using tensorflow::serving::Feature;

const Feature* find_feature(const Example& example) {
  const auto& features = example.features().feature();
  const auto found = features.find(std::string(kInputName));
  return found == features.end() ? nullptr : &found->second;
}

std::string names_of(const Example& example) {
  std::vector<std::string> names;
  constexpr size_t kMostNames = 10;
  for (const auto& [name, feature] : example.features().feature()) {
    if (names.size() < kMostNames) names.push_back(printable(name.substr(0, 40)));
  }
  std::ranges::sort(names);
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

absl::Status read_floats(const tensorflow::serving::FloatList& list, const ImageShape& input, std::span<float> out) {
  if (static_cast<size_t>(list.value_size()) != out.size()) {
    return shape_mismatch(input, fmt::format("shape [{}]", list.value_size()));
  }
  std::copy(list.value().begin(), list.value().end(), out.begin());
  const auto odd = std::ranges::find_if(out, [](float number) { return !std::isfinite(number); });
  if (odd == out.end()) return absl::OkStatus();
  return input_mismatch(fmt::format("number {} is {}, which is no pixel", odd - out.begin(), *odd));
}

absl::Status read_feature(const Feature& feature, const ImageShape& input, ImageReader& images, std::span<float> out) {
  if (feature.has_float_list()) return read_floats(feature.float_list(), input, out);
  if (feature.has_bytes_list() && feature.bytes_list().value_size() == 1) {
    return images.read(feature.bytes_list().value(0), out);
  }
  return input_mismatch(
      fmt::format("the feature '{}' is {}, expected a float_list of {} numbers or a bytes_list of one "
                  "PNG",
                  kInputName,
                  feature.has_bytes_list() ? fmt::format("a bytes_list of {} values", feature.bytes_list().value_size())
                  : feature.has_int64_list() ? "an int64_list"
                                             : "empty",
                  out.size()));
}

}  // namespace

absl::StatusOr<ParsedPredict> read_examples(const tensorflow::serving::Input& input, const RequestRules& rules) {
  const auto& with_context = input.example_list_with_context();
  const auto& examples = input.has_example_list() ? input.example_list().examples() : with_context.examples();
  if (examples.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "Input is empty. Expected examples in example_list, each with a feature '{}' of {} floats from 0 to 1.",
        kInputName, rules.input.size()));
  }
  if (examples.size() > rules.most_examples) {
    return absl::InvalidArgumentError(fmt::format("example_list has {} examples, at most {} are taken in one request",
                                                  examples.size(), rules.most_examples));
  }
  const Feature* common = input.has_example_list() ? nullptr : find_feature(with_context.context());
  ParsedPredict parsed;
  ImageReader images(rules);
  const auto size = static_cast<size_t>(rules.input.size());
  for (const Example& example : examples) {
    const Feature* own = find_feature(example);
    parsed.inputs.resize(parsed.inputs.size() + size);
    const Feature* feature = own != nullptr ? own : common;
    const absl::Status status = feature != nullptr
                                    ? read_feature(*feature, rules.input, images, std::span(parsed.inputs).last(size))
                                    : absl::InvalidArgumentError(fmt::format("no feature '{}'; its features: {}",
                                                                             kInputName, names_of(example)));
    if (!status.ok()) {
      return absl::InvalidArgumentError(fmt::format("Failed to process element: {} of the examples. Error: {}",
                                                    parsed.examples, status_text(status)));
    }
    ++parsed.examples;
  }
  return parsed;
}

}  // namespace lockstep
