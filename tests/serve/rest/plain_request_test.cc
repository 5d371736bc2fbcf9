// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/plain_request.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/base/rng.h"
#include "serve/rest/decimal.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;

// With digits of no number behind it, as in a longer text, and without.
std::optional<float> decimal(const std::string& text, const std::string& behind) {
  const std::string whole = text + behind;
  const char* at = whole.data();
  const auto value = read_decimal(at, whole.data() + whole.size());
  if (value && at != whole.data() + text.size()) return std::nullopt;
  return value;
}

void expect_as_the_c_library(const std::string& text) {
  const auto want = static_cast<float>(std::strtod(text.c_str(), nullptr));
  for (const std::string behind : {"", ",", ", 0.12345678901234567890123456789]"}) {
    const auto got = decimal(text, behind);
    ASSERT_TRUE(got.has_value()) << text;
    ASSERT_EQ(std::memcmp(&want, &*got, sizeof want), 0) << text << ": " << want << " " << *got;
  }
}

TEST(Decimal, AgreesWithTheCLibrary) {
  for (const char* text : {"0",
                           "-0",
                           "0.0",
                           "-0.0",
                           "1",
                           "1.0",
                           "0.5",
                           "-12.25",
                           "1e3",
                           "1E+3",
                           "1e-3",
                           "0.1",
                           "255",
                           "0.00392156862745098",
                           "0.003921568859368563",
                           "0.12345678",
                           "0.123456789",
                           "0.1234567890123456",
                           "0.12345678901234567",
                           "0.1234567890123456789",
                           "0.12345678901234567890",
                           "0.12345678901234567890123",
                           "0.123456789012345678901234",
                           "0.00000000000000000000001",
                           "0.00000000000000000000000001",
                           "0.5e3",
                           "0.25E-7",
                           "12345678901234567890123",
                           "1e-45",
                           "1.4e-45",
                           "1.1754943508222875e-38",
                           "1.17549428e-38",
                           "3.4028234663852886e38",
                           "123e-30",
                           "0e0",
                           "0e9999999999",
                           "9007199254740993",
                           "9007199254740993e-16",
                           "16777217",
                           "16777217.0000000001"}) {
    expect_as_the_c_library(text);
  }
}

TEST(Decimal, AgreesWithTheCLibraryBetweenTwoFloats) {
  const RngStream stream(5, RngPurpose::kTest, 0, 0);
  for (uint32_t i = 0; i < 20'000; ++i) {
    const float low = stream.uniform(2 * i) * std::pow(10.0f, stream.uniform(2 * i + 1) * 20.0f - 15.0f);
    const float high = std::nextafter(low, std::numeric_limits<float>::infinity());
    const double middle = (static_cast<double>(low) + static_cast<double>(high)) / 2;
    for (const double value : {middle, std::nextafter(middle, 0.0), std::nextafter(middle, 1e30)}) {
      expect_as_the_c_library(fmt::format("{}", value));
      expect_as_the_c_library(fmt::format("{:.18e}", value));
    }
  }
}

TEST(Decimal, AgreesWithTheCLibraryInAnyPrecision) {
  const RngStream stream(6, RngPurpose::kTest, 0, 0);
  for (uint32_t i = 0; i < 50'000; ++i) {
    const double value =
        static_cast<double>(stream.uniform(2 * i)) + 1e-9 * static_cast<double>(stream.uniform(2 * i + 1));
    expect_as_the_c_library(fmt::format("{:.{}f}", value, 1 + i % 25));
    expect_as_the_c_library(fmt::format("{:.{}e}", value - 0.5, i % 20));
  }
}

TEST(Decimal, TakesNothingThatIsNoNumberOfJson) {
  for (const char* text :
       {"", "-", "+1", ".5", "1.", "1.e3", "1e", "1e+", "-a", "NaN", "Infinity", "-Infinity", " 1"}) {
    EXPECT_FALSE(decimal(text, "").has_value()) << text;
    EXPECT_FALSE(decimal(text, ",1").has_value()) << text;
  }
  EXPECT_FALSE(decimal("1e39", "").has_value());
  EXPECT_FALSE(decimal("-3.5e38", "").has_value());
  EXPECT_FALSE(decimal("01", "").has_value()) << "the number ends behind the zero";
}

RequestRules rules() {
  RequestRules out;
  out.input = {2, 3, 1};
  out.most_examples = 3;
  return out;
}

TEST(PlainRequest, TakesListsOfNumbers) {
  for (const std::string body :
       {"{\"instances\": [[0.0, 0, 2, 0.0, 0.0, 0.5]]}", "{\"instances\":[[0.0,0,2,0.0,0.0,0.5]]}",
        " {\n\"instances\" : [ [ 0.0 ,0 , 2.0e0,\t0.0, 0.0,  0.5 ] ] } \r\n",
        "{\"instances\": [{\"inputs\": [0, 0, 2, 0, 0, 0.5]}]}", "{\"instances\": [[[0.0, 0, 2], [0, 0, 0.5]]]}",
        "{\"instances\": [ [ [[0.0] , [0], [2.0]], [[0],[0.0 ],[ 0.5]] ] ]}",
        "{\"instances\": [{\"inputs\": [[0, 0, 2], [0, 0, 0.5]]}]}"}) {
    const auto parsed = parse_plain_request(body, rules());
    ASSERT_TRUE(parsed.has_value()) << body;
    EXPECT_THAT(parsed->inputs, ElementsAre(0, 0, 2, 0, 0, 0.5f)) << body;
    EXPECT_EQ(parsed->examples, 1);
    EXPECT_TRUE(parsed->row);
  }
  const auto column = parse_plain_request(
      "{\"inputs\": [[1, 2, 3, 4, 5, 6], [0,0,0,0,0,0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]], \"signature_name\": \"s\"}",
      rules());
  ASSERT_TRUE(column.has_value());
  EXPECT_THAT(column->inputs, ElementsAre(1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(column->examples, 3);
  EXPECT_FALSE(column->row);
  EXPECT_EQ(column->signature_name, "s");
}

TEST(PlainRequest, LeavesEverythingElseToTheJsonParser) {
  const std::string good = "[0, 1, 2, 3, 4, 5]";
  for (const std::string& body :
       std::vector<std::string>{"",
                                "{",
                                "{}",
                                "[]",
                                good,
                                "{\"instances\": " + good + "}",
                                "{\"instances\": []}",
                                "{\"instances\": [[]]}",
                                "{\"instances\": [[0, 0, 0, 0, 0]]}",
                                "{\"instances\": [[0, 0, 0, 0, 0, 0, 0]]}",
                                "{\"instances\": [[0, 0, 0, 0, 0, 0,]]}",
                                "{\"instances\": [[0,,0, 0, 0, 0]]}",
                                "{\"instances\": [[0, 0, 0, 0, 0, 00]]}",
                                "{\"instances\": [[0, 0, 0, 0, 0, 0.]]}",
                                "{\"instances\": [[0, 0, 0, 0, 0, \"0\"]]}",
                                "{\"instances\": [[[0, 1, 2], [3, 4]]]}",
                                "{\"instances\": [[[0, 1, 2]]]}",
                                "{\"instances\": [[[0, 1, 2], [3, 4, 5], [6, 7, 8]]]}",
                                "{\"instances\": [[[0, 1], [2, 3], [4, 5]]]}",
                                "{\"instances\": [[[0, 1, 2], 3, 4, 5]]}",
                                "{\"instances\": [[0, 1, 2, [3, 4, 5]]]}",
                                "{\"instances\": [[[0, 1, 2], [[3], [4], [5]]]]}",
                                "{\"instances\": [[[[0], [1], [2]], [3, 4, 5]]]}",
                                "{\"instances\": [[[[0, 1], [2]], [[3], [4], [5]]]]}",
                                "{\"instances\": [[[[[0]], [[1]], [[2]]], [[[3]], [[4]], [[5]]]]]}",
                                "{\"instances\": [[[], []]]}",
                                "{\"instances\": [" + good + ",]}",
                                "{\"instances\": [" + good + "],}",
                                "{\"instances\": [" + good + "]",
                                "{\"instances\": [" + good + "]} x",
                                "{\"instances\": [" + good + "], \"instances\": [" + good + "]}",
                                "{\"instances\": [" + good + "], \"inputs\": [" + good + "]}",
                                "{\"instances\": [" + good + "], \"other\": 1}",
                                "{\"inst\\u0061nces\": [" + good + "]}",
                                "{\"instances\": [{\"x\": " + good + "}]}",
                                "{\"instances\": [{\"inputs\": " + good + ", \"x\": 1}]}",
                                "{\"instances\": [{\"b64\": \"AAAA\"}]}",
                                "{\"instances\": [" + good + "," + good + "," + good + "," + good + "]}",
                                "{\"signature_name\": \"s\"}",
                                "{\"instances\": [" + good + "]}" + std::string(1, '\0')}) {
    EXPECT_FALSE(parse_plain_request(body, rules()).has_value()) << body;
  }
}

TEST(PlainRequest, TakesColourAsListsOfPixelsOnly) {
  RequestRules colour = rules();
  colour.input = {1, 2, 3};
  const auto nested = parse_plain_request("{\"instances\": [[[[1, 2, 3], [4, 5, 6]]]]}", colour);
  ASSERT_TRUE(nested.has_value());
  EXPECT_THAT(nested->inputs, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_TRUE(parse_plain_request("{\"instances\": [[1, 2, 3, 4, 5, 6]]}", colour).has_value());
  EXPECT_FALSE(parse_plain_request("{\"instances\": [[[1, 2, 3, 4, 5, 6]]]}", colour).has_value());
}

TEST(PlainRequest, EveryPrefixIsLeftToo) {
  const std::string body = "{\"signature_name\": \"s\", \"instances\": [{\"inputs\": [0.0, 0, 0.25, 1e-1, -3, 4]}]}";
  ASSERT_TRUE(parse_plain_request(body, rules()).has_value());
  for (size_t length = 0; length < body.size(); ++length) {
    EXPECT_FALSE(parse_plain_request(body.substr(0, length), rules()).has_value()) << length;
  }
}

}  // namespace
}  // namespace lockstep
