// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/tensor_input.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/proto/tensor.pb.h"
#include "serve/instances.h"
#include "serve/requests/image_reader.h"
#include "serve/rest/abseil_text.h"

namespace lockstep {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor_content is little-endian");

using proto::TensorProto;

// Of one request, whatever few bytes it comes by.
constexpr int64_t kMostNumbers = int64_t{1} << 28;

std::string type_name(const TensorProto& tensor) {
  return proto::DataType_IsValid(tensor.dtype()) ? proto::DataType_Name(tensor.dtype())
                                                 : fmt::format("type {}", static_cast<int>(tensor.dtype()));
}

std::vector<int64_t> sizes_of(const TensorProto& tensor) {
  std::vector<int64_t> sizes;
  for (const auto& dim : tensor.tensor_shape().dim()) sizes.push_back(dim.size());
  return sizes;
}

std::string shapes_of_batch(const ImageShape& input) {
  const auto& [h, w, c] = input;
  return c == 1 ? fmt::format("[n,{}], [n,{},{}] or [n,{},{},1]", input.size(), h, w, h, w)
                : fmt::format("[n,{}] or [n,{},{},{}]", input.size(), h, w, c);
}

absl::Status wrong_shape(const TensorProto& tensor, const ImageShape& input) {
  std::vector<int64_t> sizes = sizes_of(tensor);
  constexpr size_t kMostSizes = 8;
  const bool is_cut = sizes.size() > kMostSizes;
  if (is_cut) sizes.resize(kMostSizes);
  return input_mismatch(
      fmt::format("got shape [{}{}], expected {}. Example: "
                  "request.inputs['{}'].CopyFrom(tf.make_tensor_proto(images, dtype=tf.float32, shape=[n, {}]))",
                  tensor.tensor_shape().unknown_rank() ? "unknown" : fmt::format("{}", fmt::join(sizes, ",")),
                  is_cut ? ",…" : "", shapes_of_batch(input), kInputName, input.size()));
}

// The examples of a tensor of images.
absl::StatusOr<int64_t> count_images(const TensorProto& tensor, const ImageShape& input) {
  std::vector<int64_t> sizes = sizes_of(tensor);
  if (sizes.empty() || sizes.size() > 4 || sizes[0] < 0) return wrong_shape(tensor, input);
  const int64_t examples = sizes[0];
  sizes.erase(sizes.begin());
  const int64_t h = input.height, w = input.width, c = input.depth;
  const bool fits =
      sizes == std::vector{input.size()} || sizes == std::vector{h, w, c} || (c == 1 && sizes == std::vector{h, w});
  if (!fits) return wrong_shape(tensor, input);
  return examples;
}

absl::Status check_count(int64_t examples, const RequestRules& rules) {
  if (examples < 1) {
    return input_mismatch(fmt::format("'{}' has {} images, expected at least one", kInputName, examples));
  }
  if (examples > rules.most_examples || examples > kMostNumbers / rules.input.size()) {
    return absl::InvalidArgumentError(fmt::format("'{}' has {} images, at most {} are taken in one request", kInputName,
                                                  examples,
                                                  std::min(rules.most_examples, kMostNumbers / rules.input.size())));
  }
  return absl::OkStatus();
}

absl::Status wrong_length(std::string_view field, int64_t found, int64_t expected, std::string_view unit) {
  return input_mismatch(
      fmt::format("the tensor '{}' has {} {} in {}, its shape has {}", kInputName, found, unit, field, expected));
}

// Copies the values of a list, the last of them to the end of `out`.
template <typename Values, typename Out>
absl::Status spread(const Values& values, std::string_view field, std::span<Out> out) {
  const auto found = static_cast<size_t>(values.size());
  if (found > out.size()) {
    return wrong_length(field, static_cast<int64_t>(found), static_cast<int64_t>(out.size()), "values");
  }
  std::copy(values.begin(), values.end(), out.begin());
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(found), out.end(), found == 0 ? Out{0} : out[found - 1]);
  return absl::OkStatus();
}

absl::Status read_floats(const TensorProto& tensor, std::span<float> out) {
  const std::string& content = tensor.tensor_content();
  if (content.empty()) {
    LOCKSTEP_RETURN_IF_ERROR(spread(tensor.float_val(), "float_val", out));
  } else if (content.size() == out.size_bytes()) {
    std::memcpy(out.data(), content.data(), content.size());
  } else {
    return wrong_length("tensor_content", static_cast<int64_t>(content.size()), static_cast<int64_t>(out.size_bytes()),
                        "bytes");
  }
  const auto odd = std::ranges::find_if(out, [](float number) { return !std::isfinite(number); });
  if (odd == out.end()) return absl::OkStatus();
  return input_mismatch(fmt::format("number {} of '{}' is {}, which is no pixel", odd - out.begin(), kInputName, *odd));
}

absl::Status read_bytes(const TensorProto& tensor, const ImageReader& images, std::span<float> out) {
  const std::string& content = tensor.tensor_content();
  if (!content.empty()) {
    if (content.size() == out.size()) return images.read_pixels(content, out);
    return wrong_length("tensor_content", static_cast<int64_t>(content.size()), static_cast<int64_t>(out.size()),
                        "bytes");
  }
  for (const int32_t value : tensor.int_val()) {
    if (value < 0 || value > 255) return input_mismatch(fmt::format("{} in int_val is no uint8", value));
  }
  std::string bytes(out.size(), '\0');
  LOCKSTEP_RETURN_IF_ERROR(spread(tensor.int_val(), "int_val", std::span<char>(bytes)));
  return images.read_pixels(bytes, out);
}

absl::StatusOr<ParsedPredict> read_pictures(const TensorProto& tensor, const RequestRules& rules) {
  const std::vector<int64_t> sizes = sizes_of(tensor);
  if (sizes.size() > 1 || tensor.tensor_shape().unknown_rank()) {
    return input_mismatch(fmt::format("got shape [{}] of DT_STRING, expected [n], each a PNG or {} bytes",
                                      fmt::join(std::span(sizes).first(std::min<size_t>(sizes.size(), 8)), ","),
                                      rules.input.size()));
  }
  ParsedPredict parsed;
  parsed.examples = sizes.empty() ? 1 : sizes[0];
  LOCKSTEP_RETURN_IF_ERROR(check_count(parsed.examples, rules));
  if (tensor.string_val_size() != parsed.examples) {
    return wrong_length("string_val", tensor.string_val_size(), parsed.examples, "values");
  }
  const auto size = static_cast<size_t>(rules.input.size());
  ImageReader images(rules);
  for (int i = 0; i < tensor.string_val_size(); ++i) {
    parsed.inputs.resize(parsed.inputs.size() + size);
    const absl::Status status = images.read(tensor.string_val(i), std::span(parsed.inputs).last(size));
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("Failed to process element: {} of '{}'. Error: {}", i, kInputName, status_text(status)));
    }
  }
  return parsed;
}

}  // namespace

absl::StatusOr<ParsedPredict> read_tensor(const TensorProto& tensor, const RequestRules& rules) {
  if (tensor.dtype() == proto::DT_STRING) return read_pictures(tensor, rules);
  if (tensor.dtype() != proto::DT_FLOAT && tensor.dtype() != proto::DT_UINT8) {
    return input_mismatch(
        fmt::format("'{}' is {}, expected DT_FLOAT from 0 to 1 (tf.make_tensor_proto(…, dtype=tf.float32)), DT_UINT8, "
                    "or DT_STRING of PNGs",
                    kInputName, type_name(tensor)));
  }
  ParsedPredict parsed;
  LOCKSTEP_ASSIGN_OR_RETURN(parsed.examples, count_images(tensor, rules.input));
  LOCKSTEP_RETURN_IF_ERROR(check_count(parsed.examples, rules));
  parsed.inputs.resize(static_cast<size_t>(parsed.examples * rules.input.size()));
  LOCKSTEP_RETURN_IF_ERROR(tensor.dtype() == proto::DT_FLOAT ? read_floats(tensor, parsed.inputs)
                                                             : read_bytes(tensor, ImageReader(rules), parsed.inputs));
  return parsed;
}

}  // namespace lockstep
