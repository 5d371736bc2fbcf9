// SPDX-License-Identifier: Apache-2.0
#include "serve/instances.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "io/png_reader.h"
#include "kernels/images/images.h"
#include "serve/digit_image.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr const char* kBinaryKey = "b64";

// One instance on its way to numbers.
class Reading {
 public:
  Reading(const ImageShape& input, std::string_view place, std::span<float> out)
      : input_(input), place_(place), out_(out) {}

  absl::Status read(const json& instance) {
    const json* value = &instance;
    if (instance.is_object() && !is_binary(instance)) {
      LOCKSTEP_RETURN_IF_ERROR(check_names(instance));
      value = &instance.at(std::string(kInputName));
    }
    if (is_binary(*value)) return read_binary(value->at(kBinaryKey));
    return read_list(*value);
  }

 private:
  static bool is_binary(const json& value) {
    return value.is_object() && value.size() == 1 && value.contains(kBinaryKey);
  }

  absl::Status error(std::string_view detail) const { return annotate(invalid_inputs(detail), place_); }

  absl::Status check_names(const json& instance) const {
    if (instance.empty()) {
      return error(fmt::format("Input {} was missing in at least one input instance.", kInputName));
    }
    std::vector<std::string> others;
    for (const auto& [key, value] : instance.items()) {
      if (key != kInputName) others.push_back(printable(key));
    }
    if (others.empty()) return absl::OkStatus();
    if (instance.contains(std::string(kInputName))) return error(fmt::format("Unexpected tensor name: {}", others[0]));
    return error(
        fmt::format("Expected tensor name: {}, got tensor name: ['{}'].", kInputName, fmt::join(others, "', '")));
  }

  std::string wanted() const {
    const std::string nested = input_.depth == 1 ? fmt::format("{}x{}", input_.height, input_.width)
                                                 : fmt::format("{}x{}x{}", input_.height, input_.width, input_.depth);
    return fmt::format("expected a list of {} numbers, or {} of them nested", input_.size(), nested);
  }

  absl::Status mismatch(std::string_view got) const {
    return error(fmt::format("Input mismatch: {} {}, got {}", kInputName, wanted(), got));
  }

  // The sizes of a nested list along its first elements; at most four levels are looked at.
  static std::vector<size_t> shape_of(const json& value) {
    constexpr size_t kMostLevels = 4;
    std::vector<size_t> shape;
    for (const json* at = &value; at->is_array() && shape.size() < kMostLevels; at = &at->front()) {
      shape.push_back(at->size());
      if (at->empty()) break;
    }
    return shape;
  }

  absl::Status read_list(const json& value) {
    if (!value.is_array()) return mismatch(fmt::format("a {}", value.is_object() ? "map" : value.type_name()));
    const std::vector<size_t> shape = shape_of(value);
    const auto h = static_cast<size_t>(input_.height), w = static_cast<size_t>(input_.width),
               c = static_cast<size_t>(input_.depth);
    const bool fits =
        shape == std::vector{out_.size()} || shape == std::vector{h, w, c} || (c == 1 && shape == std::vector{h, w});
    if (!fits) {
      return mismatch(shape.size() == 1 ? fmt::format("{} numbers", shape[0])
                                        : fmt::format("{}", fmt::join(shape, "x")));
    }
    return read_level(value, shape);
  }

  absl::Status read_level(const json& value, std::span<const size_t> shape) {
    if (shape.empty()) return read_number(value);
    if (!value.is_array() || value.size() != shape[0]) {
      return mismatch(fmt::format("{} where a list of {} belongs, before number {}",
                                  value.is_array() ? fmt::format("a list of {}", value.size()) : value.type_name(),
                                  shape[0], at_));
    }
    for (const json& element : value) LOCKSTEP_RETURN_IF_ERROR(read_level(element, shape.subspan(1)));
    return absl::OkStatus();
  }

  absl::Status read_number(const json& value) {
    if (!value.is_number()) return mismatch(fmt::format("a {} as number {}", value.type_name(), at_));
    const auto number = value.get<double>();
    if (!(std::abs(number) <= static_cast<double>(std::numeric_limits<float>::max()))) {
      return error(fmt::format("Input mismatch: number {} of {} is {}, which is no float32", at_, kInputName, number));
    }
    out_[at_++] = static_cast<float>(number);
    return absl::OkStatus();
  }

  absl::Status read_binary(const json& text) {
    std::string bytes;
    if (!text.is_string() || !absl::Base64Unescape(text.get_ref<const std::string&>(), &bytes)) {
      return error(fmt::format("Input mismatch: {}: the value of b64 is no base64 text", kInputName));
    }
    if (bytes.size() == out_.size() && !has_png_signature(bytes))
      return scale(reinterpret_cast<const uint8_t*>(bytes.data()));
    const auto image = decode_png(bytes, "the value of b64");
    if (!image.ok()) {
      return error(fmt::format("Input mismatch: {} expected a PNG or {} bytes in b64, got {} bytes: {}", kInputName,
                               out_.size(), bytes.size(), std::string(image.status().message())));
    }
    const auto prepared = prepare_image(*image, input_, "the value of b64");
    if (!prepared.ok()) return error(std::string(prepared.status().message()));
    return scale(prepared->pixels.data());
  }

  absl::Status scale(const uint8_t* pixels) {
    return scale_images(KernelContext{}, static_cast<int64_t>(out_.size()), pixels, out_.data());
  }

  const ImageShape& input_;
  const std::string_view place_;
  const std::span<float> out_;
  size_t at_ = 0;  // numbers read
};

}  // namespace

absl::Status invalid_inputs(std::string_view detail) {
  return absl::InvalidArgumentError(fmt::format("Invalid inputs: {} (Error code: 1)", detail));
}

absl::Status InstanceReader::read(const json& instance, std::string_view place, std::span<float> out) const {
  return Reading(input_, place, out).read(instance);
}

}  // namespace lockstep
