// SPDX-License-Identifier: Apache-2.0
#include "serve/instance_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/io/io_fixtures.h"

namespace lockstep {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(JsonLines, OneValueALine) {
  const auto lines = parse_json_lines("\xef\xbb\xbf[1]\r\n{\"inputs\": [2]}\n3", "f", 0);
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_THAT(*lines, ElementsAre(json::parse("[1]"), json::parse("{\"inputs\": [2]}"), json(3)));
}

TEST(JsonLines, ErrorsAreThoseOfGcloudWithTheLine) {
  const auto error = [](const std::string& text, int64_t most = 0) {
    return message_of(parse_json_lines(text, "f.json", most).status());
  };
  EXPECT_EQ(error("[1]\n\n[2]\n"), "f.json:2: Empty line is not allowed in the instances file.");
  EXPECT_EQ(error("[1]\n\r\n"), "f.json:2: Empty line is not allowed in the instances file.");
  EXPECT_THAT(error("[1]\n[2\n"), AllOf(HasSubstr("f.json:2: Input instances are not in JSON format."),
                                        HasSubstr("lockstep predict --help")));
  EXPECT_EQ(error(""), "f.json: No valid instance was found.");
  EXPECT_EQ(error("\xef\xbb\xbf"), "f.json: No valid instance was found.");
  EXPECT_EQ(error("1\n2\n3\n", 2),
            "f.json:3: Online prediction can process no more than 2 instances per file. Please use batch prediction "
            "instead.");
  EXPECT_EQ(error("1\n2\n", 2), "");
}

TEST(JsonLines, BadJsonIsToldWithLineAndColumnInOurOwnWords) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[1]\n[2", "f.json:2: Input instances are not in JSON format.|(column 3: the line ends before its value does)"},
      {"[1] [2]", "f.json:1: |(column 5: expected JSON, found `[2]`)"},
      {"[1]\n[NaN]\n", "f.json:2: |(column 2: expected JSON, found `NaN]`)"},
      {"\xff", "f.json:1: |(column 1: expected JSON, found `\\xff`)"},
      {"[\"a\tb\"]", "f.json:1: |(column 4: expected JSON, found `\\tb\"]`)"},
      {"[1, 1000000000, 2000000000,, 3]", "f.json:1: |(column 28: expected JSON, found `, 3]`)"},
      {"hello", "f.json:1: |(column 1: expected JSON, found `hello`)"},
      {"[1, nope, 1000000000, 2000000000]", "f.json:1: |(column 5: expected JSON, found `nope, 1000000000, 20…`)"},
      {"[1e999]", "f.json:1: |(a number too large for float64)"}};
  for (const auto& [text, message] : cases) {
    const std::string error = message_of(parse_json_lines(text, "f.json", 0).status());
    EXPECT_THAT(error, AllOf(HasSubstr(message.substr(0, message.find('|'))),
                             HasSubstr(message.substr(message.find('|') + 1)), Not(HasSubstr("json.exception"))));
  }
}

TEST(JsonLines, AsTheyAreWritten) {
  const auto lines = json_lines("\xef\xbb\xbf[0.10,  1E0]\r\n {\"a\":1}\n", "f", 2);
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_THAT(*lines, ElementsAre("[0.10,  1E0]", " {\"a\":1}"));
  EXPECT_THAT(message_of(json_lines("1\n\n", "f", 0).status()), HasSubstr("f:2: Empty line"));
  EXPECT_THAT(message_of(json_lines("1\n2\n[\n", "f", 2).status()), HasSubstr("f:3: Online prediction"));
  EXPECT_THAT(message_of(json_lines("1\n[\n", "f", 2).status()), HasSubstr("f:2: Input instances are not in JSON"));
}

TEST(TextLines, BecomeStringsOfJson) {
  const auto lines = text_lines_as_json("a \"b\"\r\n\xc3\xa4\t", "f", 2);
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_THAT(*lines, ElementsAre("\"a \\\"b\\\"\"", "\"\xc3\xa4\\t\""));
  EXPECT_THAT(message_of(text_lines_as_json("a\n\xff\n", "f", 2).status()), HasSubstr("f:2: Instances cannot be JSON"));
  EXPECT_THAT(message_of(text_lines_as_json("", "f", 2).status()), HasSubstr("f: No valid instance was found."));
  EXPECT_THAT(message_of(text_lines_as_json("a\nb\nc", "f", 2).status()), HasSubstr("f:3: Online prediction"));
}

TEST(CheckJson, SaysInWhichLineAndColumn) {
  const auto error = [](const std::string& text) { return message_of(check_json(text, "f")); };
  EXPECT_EQ(error("{\"instances\":\n [1, 2]\n}\n"), "");
  EXPECT_THAT(error("{\n \"a\": [1,, 2]\n}"),
              HasSubstr("f:2: Input instances are not in JSON format. See \"lockstep predict --help\" for details. "
                        "(column 10: expected JSON, found `, 2]`)"));
  EXPECT_THAT(error(""), HasSubstr("f:1: Input instances are not in JSON format."));
  EXPECT_THAT(error("[1,\n2"), HasSubstr("f:2: Input instances are not in JSON format."));
  EXPECT_THAT(error("[1e999]"), HasSubstr("f: Input instances are not in JSON format."));
}

}  // namespace
}  // namespace lockstep
