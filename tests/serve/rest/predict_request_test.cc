// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/predict_request.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/png_writer.h"
#include "serve/instances.h"
#include "tests/io/io_fixtures.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr ImageShape kGrey{2, 3, 1}, kColour{1, 2, 3};
constexpr char kNumbers[] = "[0, 1, 2, 3, 4, 0.5]";

RequestRules rules(const ImageShape& input = kGrey, RestApi api = RestApi::kTensorFlowServing) {
  RequestRules out;
  out.input = input;
  out.api = api;
  return out;
}

std::string error_of(const std::string& body, const RequestRules& of = rules()) {
  const absl::Status status = parse_predict_request(body, of).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << body << ": " << status;
  return message_of(status);
}

std::string base64(const std::string& bytes) { return "{\"b64\": \"" + absl::Base64Escape(bytes) + "\"}"; }

TEST(PredictRequest, TakesRowsBareAndNamedFlatAndNested) {
  for (const std::string& value :
       std::vector<std::string>{kNumbers, "[[0, 1, 2], [3, 4, 0.5]]", "[[[0], [1], [2]], [[3], [4], [0.5]]]"}) {
    for (const std::string& instance : {value, "{\"inputs\": " + value + "}"}) {
      const auto parsed = parse_predict_request("{\"instances\": [" + instance + ", " + kNumbers + "]}", rules());
      ASSERT_TRUE(parsed.ok()) << instance << ": " << parsed.status();
      EXPECT_THAT(parsed->inputs, ElementsAre(0, 1, 2, 3, 4, 0.5f, 0, 1, 2, 3, 4, 0.5f)) << instance;
      EXPECT_EQ(parsed->examples, 2);
      EXPECT_TRUE(parsed->row);
      EXPECT_EQ(parsed->signature_name, "");
    }
  }
  EXPECT_THAT(parse_predict_request("{\"instances\": [[[[1, 2, 3], [4, 5, 6]]]]}", rules(kColour))->inputs,
              ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(PredictRequest, TakesColumns) {
  const std::string pixels = base64(std::string("\x00\x33\x66\x99\xcc\xff", 6));
  for (const std::string& value : {fmt::format("[{}]", kNumbers), fmt::format("{{\"inputs\": [{}]}}", kNumbers), pixels,
                                   "{\"inputs\": " + pixels + "}", "[" + pixels + "]"}) {
    const auto parsed =
        parse_predict_request("{\"signature_name\": \"prediction\", \"inputs\": " + value + "}", rules());
    ASSERT_TRUE(parsed.ok()) << value << ": " << parsed.status();
    EXPECT_EQ(parsed->inputs.size(), 6u) << value;
    EXPECT_EQ(parsed->examples, 1);
    EXPECT_FALSE(parsed->row);
    EXPECT_EQ(parsed->signature_name, "prediction");
  }
}

TEST(PredictRequest, TakesPixelsAndPngsAsBase64) {
  const std::vector<uint8_t> red_blue = {255, 0, 0, 0, 0, 255};
  const std::string png = base64(encode_png(red_blue, 1, 2, 3).value());
  const std::string pixels = base64(std::string("\x00\x33\x66\x99\xcc\xff", 6));
  const auto parsed =
      parse_predict_request("{\"instances\": [" + png + ", {\"inputs\": " + pixels + "}]}", rules(kColour));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  constexpr float kUnit = 1.0f / 255;
  EXPECT_THAT(parsed->inputs,
              ElementsAre(1, 0, 0, 0, 0, 1, 0, 0x33 * kUnit, 0x66 * kUnit, 0x99 * kUnit, 0xcc * kUnit, 1));
}

TEST(PredictRequest, ReadsTheSameNumbersAsThePredictCommand) {
  std::string numbers;
  for (int i = 0; i < 784; ++i) numbers += fmt::format("{}{}", i == 0 ? "" : ", ", i % 7 == 0 ? i / 255.0 : 1e-3 * i);
  const ImageShape input{28, 28, 1};
  std::vector<float> expected(784);
  ASSERT_TRUE(InstanceReader(input).read(nlohmann::json::parse("[" + numbers + "]"), "", expected).ok());
  const auto parsed = parse_predict_request("{\"instances\": [[" + numbers + "]]}", rules(input));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->inputs, expected);
}

TEST(PredictRequest, ErrorsTellTheElementTheShapesAndARightRequest) {
  const std::string error = error_of(fmt::format("{{\"instances\": [{}, [1, 2, 3, 4, 5]]}}", kNumbers));
  EXPECT_EQ(
      error,
      "Failed to process element: 1 of 'instances' list. Error: Input mismatch: got shape [5], expected shape [6], "
      "[2,3] or [2,3,1]. Example: {\"instances\": [[0.0, 0.5, …, 1.0]]}, with 6 numbers from 0 to 1 for each image");
  EXPECT_THAT(error_of("{\"inputs\": [[1]]}", rules(kColour)),
              AllOf(HasSubstr("element: 0 of 'inputs' list"), HasSubstr("got shape [1], expected shape [6] or [1,2,3]"),
                    HasSubstr("{\"inputs\": [[0.0")));
}

TEST(PredictRequest, ErrorsOfOneInstance) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"images\": [1]}", "Expected tensor name: inputs, got tensor name: ['images']. Example:"},
      {"{\"inputs\": [0,0,0,0,0,0], \"key\": 7}", "Unexpected tensor name: key"},
      {"{}", "Input inputs was missing in at least one input instance. Example:"},
      {"[[1, 2], [3, 4], [5, 6]]", "got shape [3,2]"},
      {"[[1, 2, 3, 4, 5, 6]]", "got shape [1,6]"},
      {"[[1, 2, 3], [4, 5]]", "got a list of 2 where 3 belong"},
      {"[[1, 2, 3], [4, 5, 6, 7]]", "got a list of 4 where 3 belong"},
      {"[[1, 2, 3], 4]", "got a number where a list of 3 belongs, at number 3"},
      {"[[[[[[[1]]]]]]]", "got shape [1,1,1,1,1]"},
      {"[]", "got shape [0]"},
      {"null", "got a null"},
      {"\"text\"", "got a string"},
      {"{\"inputs\": {\"x\": 1}}", "got a map"},
      {"{\"inputs\": 1}", "got a number"},
      {"[1, 2, 3, 4, 5, \"6\"]", "got a string as number 5"},
      {"[1, 2, true, 4, 5, 6]", "got a boolean as number 2"},
      {"[1, 2, [3], 4, 5, 6]", "got a list of 1 as number 2"},
      {"[1, 2, 3, 4, 5, 1e39]", "number 5 is 1e+39, which is no float32"},
      {"{\"b64\": \"!\"}", "no base64 text"},
      {"{\"b64\": 5}", "the value of b64 is a number"},
      {"{\"b64\": \"\"}", "expected a PNG or 6 bytes"},
      {base64("bytes"), "expected a PNG or 6 bytes, one a number, got 5 bytes"}};
  for (const auto& [instance, message] : cases) {
    const std::string body = fmt::format("{{\"instances\": [{}, {}]}}", kNumbers, instance);
    EXPECT_THAT(error_of(body), AllOf(HasSubstr("element: 1 of"), HasSubstr(message))) << instance;
  }
}

TEST(PredictRequest, ErrorsOfTheBody) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "JSON Parse error: The document is empty"},
      {"{\"instances\": [[1, 2, NaN]]}", "JSON Parse error: Invalid value at offset"},
      {"{\"instances\": [[1, 2, 3]]", "JSON Parse error: Invalid value at offset"},
      {"{\"instances\": [1]} x", "JSON Parse error: "},
      {"{\"instances\": [\"\xff\"]}", "JSON Parse error: "},
      {"[1, 2]", "Expected a JSON object as the body, got a list of 2"},
      {"7", "Expected a JSON object as the body, got a number"},
      {"{}", "Missing 'inputs' or 'instances' key; the keys of the body: none. Example: {\"instances\": [["},
      {"{\"instance\": [], \"x\": 1}", "the keys of the body: 'instance', 'x'"},
      {"{\"instances\": [], \"inputs\": []}", "only one of 'inputs' or 'instances'"},
      {"{\"instances\": {}}", "Expecting 'instances' to be a list, got a map"},
      {"{\"instances\": []}", "No values in 'instances' list"},
      {"{\"inputs\": {\"x\": []}}", "Missing named input: inputs in 'inputs' object; its keys: 'x'"},
      {"{\"inputs\": 3}", "Expecting 'inputs' to be a list, got a number"},
      {"{\"signature_name\": 3, \"instances\": [[1]]}", "'signature_name' key must be a string value, got a number"},
      {"{\"instances\": [1, 2, 3, 4, 5, 6]}",
       "'instances' has shape [6], expected a list of images, each of shape [6], [2,3] or [2,3,1]. For one image write "
       "{\"instances\": [[0.0, 0.5, …, 1.0]]}"}};
  for (const auto& [body, message] : cases) EXPECT_THAT(error_of(body), HasSubstr(message)) << body;
}

TEST(PredictRequest, TellsWhereTheJsonEnds) {
  EXPECT_THAT(error_of("{\"instances\": [[1, 2, NaN]]}"), HasSubstr("at offset 22: "));
}

TEST(PredictRequest, SpeaksTheWordsOfCloudMl) {
  const RequestRules cloud = rules(kGrey, RestApi::kCloudMl);
  EXPECT_EQ(error_of("{\"instances\": [{\"images\": [1]}]}", cloud),
            "Invalid inputs: Expected tensor name: inputs, got tensor name: ['images'] (instance 0). Example: "
            "{\"instances\": [[0.0, 0.5, …, 1.0]]}, with 6 numbers from 0 to 1 for each image (Error code: 1)");
  for (const std::string body : {"", "{}", "{\"instances\": [[1]]}", "{\"instances\": 1}"}) {
    const std::string error = error_of(body, cloud);
    EXPECT_TRUE(error.starts_with("Invalid inputs: ")) << error;
    EXPECT_TRUE(error.ends_with("(Error code: 1)")) << error;
  }
}

TEST(PredictRequest, BoundsWhatASmallBodyCanAskFor) {
  RequestRules few = rules();
  few.most_examples = 2;
  few.most_png_pixels = 20;
  EXPECT_THAT(error_of(fmt::format("{{\"instances\": [{0}, {0}, {0}]}}", kNumbers), few),
              HasSubstr("'instances' has 3 elements, at most 2"));
  const std::vector<uint8_t> pixels = {0, 0, 0, 0, 0, 250, 250, 0, 0, 250, 0, 0, 0, 0, 0, 0};
  const std::string png = base64(encode_png(pixels, 4, 4, 1).value());
  EXPECT_THAT(error_of("{\"instances\": [" + png + ", " + png + "]}", few),
              HasSubstr("20 pixels in all; this one of 4x4"));
  const std::string deep(100'000, '[');
  EXPECT_THAT(error_of("{\"instances\": " + deep), HasSubstr("JSON Parse error"));
  EXPECT_THAT(error_of("{\"instances\": " + deep + std::string(deep.size(), ']') + "}"), HasSubstr("JSON Parse error"));
}

TEST(PredictRequest, EveryPrefixIsAnError) {
  const std::string body = fmt::format("{{\"instances\": [{{\"inputs\": {}}}, {}]}}", kNumbers, base64("abcdef"));
  ASSERT_TRUE(parse_predict_request(body, rules()).ok());
  for (size_t length = 0; length < body.size(); ++length) error_of(body.substr(0, length));
}

TEST(ClassifyRequest, TakesExamples) {
  const auto parsed = parse_classify_request(
      fmt::format("{{\"examples\": [{{\"inputs\": {0}}}, {{\"inputs\": {0}}}]}}", kNumbers), rules());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->examples, 2);
  EXPECT_EQ(parsed->inputs.size(), 12u);
  const auto error = [](const std::string& body) { return message_of(parse_classify_request(body, rules()).status()); };
  EXPECT_THAT(error("{\"instances\": []}"),
              AllOf(HasSubstr("When method is classify, key 'examples' is expected and was not found"),
                    HasSubstr("Example: {\"examples\": [{\"inputs\": [0.0")));
  EXPECT_THAT(error("{\"examples\": []}"), HasSubstr("No values in 'examples' list"));
  EXPECT_THAT(error("{\"examples\": [{\"x\": [1]}]}"), HasSubstr("element: 0 of 'examples' list"));
}

TEST(BinaryRequest, TakesPixelsOfOneOrMoreImages) {
  const std::string two("\x00\x33\x66\x99\xcc\xff\xff\x00\x00\x00\x00\x00", 12);
  const auto parsed = parse_pixel_bytes(two, rules());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  constexpr float kUnit = 1.0f / 255;
  EXPECT_EQ(parsed->examples, 2);
  EXPECT_THAT(parsed->inputs,
              ElementsAre(0, 0x33 * kUnit, 0x66 * kUnit, 0x99 * kUnit, 0xcc * kUnit, 1, 1, 0, 0, 0, 0, 0));
  EXPECT_TRUE(parsed->row);
  for (const std::string& body : {std::string(), two.substr(1)}) {
    EXPECT_THAT(message_of(parse_pixel_bytes(body, rules()).status()),
                HasSubstr(fmt::format("got {} bytes, expected a multiple of 6: 2x3x1 uint8", body.size())));
  }
  RequestRules one = rules();
  one.most_examples = 1;
  EXPECT_THAT(message_of(parse_pixel_bytes(two, one).status()), HasSubstr("got 2 images of 6 bytes, at most 1"));
}

TEST(BinaryRequest, TakesAPng) {
  const std::vector<uint8_t> red_blue = {255, 0, 0, 0, 0, 255};
  const auto parsed = parse_png_request(encode_png(red_blue, 1, 2, 3).value(), rules(kColour));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->inputs, ElementsAre(1, 0, 0, 0, 0, 1));
  EXPECT_THAT(message_of(parse_png_request("GIF89a", rules(kColour)).status()), HasSubstr("expected a PNG"));
}

}  // namespace
}  // namespace lockstep
