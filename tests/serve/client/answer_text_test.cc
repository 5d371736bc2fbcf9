// SPDX-License-Identifier: Apache-2.0
#include "serve/client/answer_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/io_fixtures.h"
#include "tests/support/fault_file.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string table(const std::string& answer) { return answer_text(answer, AnswerFormat::kTable).value(); }
std::string json(const std::string& answer) { return answer_text(answer, AnswerFormat::kJson).value(); }

TEST(AnswerText, OutputsAreColumnsSortedByName) {
  const std::string answer =
      R"({"predictions": [{"probabilities": [0.25, 3.5e-6, 1.0], "classes": 7}, {"classes": 10, "probabilities": []}]})";
  EXPECT_EQ(table(answer),
            "CLASSES  PROBABILITIES\n"
            "7        [0.25, 3.5e-06, 1.0]\n"
            "10       []\n");
  EXPECT_EQ(json(answer),
            "{\"predictions\": [\n"
            "  {\"classes\": 7, \"probabilities\": [0.25, 3.5e-06, 1.0]},\n"
            "  {\"classes\": 10, \"probabilities\": []}\n"
            "]}\n");
}

TEST(AnswerText, NoOutputOfAnyInstanceIsLost) {
  EXPECT_EQ(table(R"({"predictions": [{"b": 1}, {"a": "x", "b": null}, {}]})"),
            "A  B\n"
            "   1\n"
            "x\n"
            "\n");
}

TEST(AnswerText, PlainValuesHaveNoHeading) {
  EXPECT_EQ(table(R"({"predictions": [[0.5, 1], [0.1]]})"), "[0.5, 1]\n[0.1]\n");
  EXPECT_EQ(table(R"({"predictions": [3, 1e22, "a text", true, null]})"), "3\n1e+22\na text\nTrue\n\n");
  EXPECT_EQ(table(R"({"predictions": [{"a": 1}, 2]})"), "{'a': 1}\n2\n");
  EXPECT_EQ(table(R"({"predictions": []})"), "");
}

TEST(AnswerText, NestedValuesAreWrittenAsPythonDoes) {
  EXPECT_EQ(table(R"({"predictions": [["a", "it's", [true, false, null]], {"b64": "AA=="}]})"),
            "['a', \"it's\", [True, False, None]]\n{'b64': 'AA=='}\n");
  EXPECT_EQ(json(R"({"predictions": [["ü\"", [true, null]]]})"),
            "{\"predictions\": [\n  [\"\\u00fc\\\"\", [true, null]]\n]}\n");
}

TEST(AnswerText, NumbersThatAreNotFiniteArePythons) {
  const std::string answer = R"({"predictions": [[NaN, Infinity, -Infinity, "NaN", "\"NaN"]]})";
  EXPECT_EQ(table(answer), "[nan, inf, -inf, 'NaN', '\"NaN']\n");
  EXPECT_EQ(json(answer), "{\"predictions\": [\n  [NaN, Infinity, -Infinity, \"NaN\", \"\\\"NaN\"]\n]}\n");
}

TEST(AnswerText, OtherAnswersArePrintedWhole) {
  const std::string answer = "{\"outputs\": {\n  \"classes\": [7]}}";
  EXPECT_EQ(table(answer), "{\"outputs\": {\"classes\": [7]}}\n");
  EXPECT_EQ(json(answer), table(answer));
  EXPECT_EQ(table("[1, 2]"), "[1, 2]\n");
  EXPECT_EQ(table(R"({"predictions": {"a": 1}})"), "{\"predictions\": {\"a\": 1}}\n");
}

TEST(AnswerText, ErrorsWithoutTheirStatusAreErrors) {
  const auto text = answer_text(R"({"error": "Prediction failed: no"})", AnswerFormat::kTable);
  EXPECT_EQ(message_of(text.status()), R"(HTTP request failed. Response: {"error": "Prediction failed: no"})");
}

TEST(AnswerText, WhatIsNoJsonIsShown) {
  const std::string deep = "{\"predictions\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  for (const std::string& answer :
       std::vector<std::string>{"", "<html>", "{\"predictions\": [1, 2", "{\"predictions\": [1e999]}", "\xff", "[\"",
                                "\"\\", "-Inf", deep}) {
    EXPECT_THAT(message_of(answer_text(answer, AnswerFormat::kTable).status()),
                StartsWith("No JSON object could be decoded from the HTTP response body: "));
  }
}

TEST(AnswerText, DamageIsAnErrorOrAnotherAnswer) {
  const std::string answer =
      R"({"predictions": [{"a": [NaN, -Infinity, 1e-7], "b": "\u00fc\"x"}, {"a": [], "b": null}]})";
  for (size_t at = 0; at < answer.size(); ++at) {
    EXPECT_FALSE(answer_text(answer.substr(0, at), AnswerFormat::kTable).ok()) << at;
    for (int bit = 0; bit < 8; ++bit) {
      for (const AnswerFormat format : {AnswerFormat::kTable, AnswerFormat::kJson}) {
        const auto text = answer_text(with_bit_flipped(answer, at, bit), format);
        const std::string shown = text.ok() ? *text : message_of(text.status());
        EXPECT_EQ(shown.find_first_of(std::string("\0\x1b\x7f", 3)), std::string::npos) << at << " " << bit;
      }
    }
  }
}

TEST(AnswerText, NothingOfAnAnswerCommandsTheTerminal) {
  EXPECT_EQ(table("{\"predictions\": [\"a\\u001b[31m\\nb\", {\"\\u001b\": [\"\\u009b\"]}]}"),
            "a\\x1b[31m\\nb\n{'\\x1b': ['\\xc2\\x9b']}\n");
  EXPECT_EQ(shown_body("line 1\r\n\x1b[2J \\\"quoted\\\" ü\n\n"), "line 1\\r\n\\x1b[2J \\\"quoted\\\" ü");
  EXPECT_EQ(shown_body(""), "(nothing)");
  const std::string long_body = shown_body(std::string(1'000'000, 'x'));
  EXPECT_THAT(long_body, HasSubstr("x… (1000000 bytes in all)"));
  EXPECT_LT(long_body.size(), 5000u);
}

}  // namespace
}  // namespace lockstep
