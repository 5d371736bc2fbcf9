// SPDX-License-Identifier: Apache-2.0
#include "serve/instances.h"

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/png_writer.h"
#include "serve/instance_lines.h"
#include "tests/io/io_fixtures.h"

namespace lockstep {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::vector<float>> read(const std::string& text, const ImageShape& input) {
  std::vector<float> out(static_cast<size_t>(input.size()));
  LOCKSTEP_RETURN_IF_ERROR(InstanceReader(input).read(json::parse(text), "f.json:4", out));
  return out;
}

constexpr ImageShape kGrey{2, 3, 1}, kColour{1, 2, 3};

std::string error_of(const std::string& text, const ImageShape& input = kGrey) {
  return message_of(read(text, input).status());
}

TEST(InstanceReader, TakesBareAndNamedFlatAndNested) {
  for (const std::string value :
       {"[0, 1, 2, 3, 4, 0.5]", "[[0, 1, 2], [3, 4, 0.5]]", "[[[0], [1], [2]], [[3], [4], [0.5]]]"}) {
    for (const std::string& instance : {value, "{\"inputs\": " + value + "}"}) {
      const auto numbers = read(instance, kGrey);
      ASSERT_TRUE(numbers.ok()) << instance << ": " << numbers.status();
      EXPECT_THAT(*numbers, ElementsAre(0, 1, 2, 3, 4, 0.5f)) << instance;
    }
  }
  EXPECT_THAT(read("[[[1, 2, 3], [4, 5, 6]]]", kColour).value(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(InstanceReader, TakesPixelsAsBase64) {
  const std::string pixels("\x00\x33\x66\x99\xcc\xff", 6);
  const auto numbers = read("{\"b64\": \"" + absl::Base64Escape(pixels) + "\"}", kGrey);
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  constexpr float kUnit = 1.0f / 255;
  EXPECT_THAT(*numbers, ElementsAre(0, 0x33 * kUnit, 0x66 * kUnit, 0x99 * kUnit, 0xcc * kUnit, 1));
}

TEST(InstanceReader, TakesPngAsBase64) {
  const std::vector<uint8_t> red_blue = {255, 0, 0, 0, 0, 255};
  const std::string png = absl::Base64Escape(encode_png(red_blue, 1, 2, 3).value());
  EXPECT_THAT(read("{\"inputs\": {\"b64\": \"" + png + "\"}}", kColour).value(), ElementsAre(1, 0, 0, 0, 0, 1));
}

// As many bytes as the image has numbers: its beginning tells that these are no pixels.
TEST(InstanceReader, APngOfTheImagesSizeIsAPicture) {
  std::vector<uint8_t> stroke(28 * 28);
  for (size_t row = 4; row < 24; ++row) stroke[row * 28 + 14] = 255;
  const std::string png = encode_png(stroke, 28, 28, 1).value();
  const std::string instance = "{\"b64\": \"" + absl::Base64Escape(png) + "\"}";
  const auto numbers = read(instance, {1, static_cast<int>(png.size()), 1});
  EXPECT_FALSE(numbers.ok() && numbers->front() == 0x89 / 255.0f) << "the signature, taken for pixels";
  EXPECT_TRUE(read(instance, {28, 28, 1}).ok());
}

TEST(InstanceReader, ErrorsAreThoseOfThePredictionService) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"images\": [1]}", "Expected tensor name: inputs, got tensor name: ['images']."},
      {"{\"inputs\": [0,0,0,0,0,0], \"key\": 7}", "Unexpected tensor name: key"},
      {"{}", "Input inputs was missing in at least one input instance."},
      {"[1, 2, 3, 4, 5]", "Input mismatch: inputs expected a list of 6 numbers, or 2x3 of them nested, got 5 numbers"},
      {"[[1, 2], [3, 4], [5, 6]]", "got 3x2"},
      {"[[1, 2, 3], [4, 5]]", "got a list of 2 where a list of 3 belongs, before number 3"},
      {"[[1, 2, 3], 4]", "got number where a list of 3 belongs, before number 3"},
      {"[[[[[[[1]]]]]]]", "got 1x1x1x1"},
      {"[]", "got 0 numbers"},
      {"7", "got a number"},
      {"null", "got a null"},
      {"{\"inputs\": {\"x\": 1}}", "got a map"},
      {"[1, 2, 3, 4, 5, \"6\"]", "got a string as number 5"},
      {"[1, 2, true, 4, 5, 6]", "got a boolean as number 2"},
      {"[1, 2, 3, 4, 5, 1e39]", "number 5 of inputs is 1e+39, which is no float32"},
      {"{\"b64\": \"!\"}", "no base64 text"},
      {"{\"b64\": 5}", "no base64 text"},
      {"{\"b64\": \"" + absl::Base64Escape("bytes") + "\"}", "expected a PNG or 6 bytes in b64, got 5 bytes"}};
  for (const auto& [instance, message] : cases) {
    const std::string error = error_of(instance);
    EXPECT_TRUE(error.starts_with("f.json:4: Invalid inputs: ")) << instance << ": " << error;
    EXPECT_TRUE(error.ends_with(" (Error code: 1)")) << instance << ": " << error;
    EXPECT_THAT(error, HasSubstr(message)) << instance;
  }
  EXPECT_THAT(error_of("[1]", kColour), HasSubstr("expected a list of 6 numbers, or 1x2x3 of them nested"));
}

TEST(Instances, DeepNestingIsNoStackOverflow) {
  const std::string deep(200'000, '[');
  EXPECT_FALSE(parse_json_lines(deep, "f", 0).ok());
  const auto closed = parse_json_lines(deep + std::string(deep.size(), ']'), "f", 0);
  ASSERT_TRUE(closed.ok());
  std::vector<float> out(6);
  EXPECT_THAT(message_of(InstanceReader(kGrey).read(closed->front(), "f:1", out)), HasSubstr("got 1x1x1x1"));
}

}  // namespace
}  // namespace lockstep
