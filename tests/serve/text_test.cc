// SPDX-License-Identifier: Apache-2.0
// Numbers and tables as text.
#include <gtest/gtest.h>

#include <limits>

#include "serve/predictions.h"
#include "serve/python_repr.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

TEST(PythonRepr, MatchesPython) {
  const std::vector<std::pair<double, std::string>> cases = {{0, "0.0"},
                                                             {-0.0, "-0.0"},
                                                             {1, "1.0"},
                                                             {-17, "-17.0"},
                                                             {0.1, "0.1"},
                                                             {1e-4, "0.0001"},
                                                             {9.999e-5, "9.999e-05"},
                                                             {1e15, "1000000000000000.0"},
                                                             {123456789012345680, "1.2345678901234568e+17"},
                                                             {9999999999999998, "9999999999999998.0"},
                                                             {1e16, "1e+16"},
                                                             {1e100, "1e+100"},
                                                             {5e-324, "5e-324"},
                                                             {1.7976931348623157e308, "1.7976931348623157e+308"},
                                                             {std::numeric_limits<double>::infinity(), "inf"},
                                                             {-std::numeric_limits<double>::infinity(), "-inf"},
                                                             {std::numeric_limits<double>::quiet_NaN(), "nan"},
                                                             {-std::numeric_limits<double>::quiet_NaN(), "nan"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(python_repr(value), text);
}

TEST(PythonRepr, WidensFloatsAsTheTutorialPrintsThem) {
  // Rows that the tutorial shows.
  EXPECT_EQ(python_list(std::vector<float>{0.9992265701293945f, 3.516180186124984e-06f, 1}),
            "[0.9992265701293945, 3.516180186124984e-06, 1.0]");
  EXPECT_EQ(python_list(std::vector<float>{3.437006127094938e-21f, 0.9999998807907104f}),
            "[3.437006127094938e-21, 0.9999998807907104]");
  EXPECT_EQ(python_list({}), "[]");
}

TEST(PythonRepr, JsonHasItsOwnTokensForWhatIsNotFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(python_json_list(std::vector<float>{inf, -inf, std::numeric_limits<float>::quiet_NaN(), 0.5f}),
            "[Infinity, -Infinity, NaN, 0.5]");
}

TEST(TextTable, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(text_table({"A", "LONG", "Z"}, {{"1", "2", "3"}, {"three", "", ""}}),
            "A      LONG  Z\n"
            "1      2     3\n"
            "three\n");
  EXPECT_EQ(text_table({}, {{"a", "b"}}), "a  b\n");
  EXPECT_EQ(text_table({}, {}), "");
  EXPECT_EQ(text_table({"Ä", "b"}, {{"xy", "z"}}), "Ä   b\nxy  z\n");
}

TEST(TextTable, PrintableHidesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("plain 'ü' \"€\""), "plain 'ü' \"€\"");
  EXPECT_EQ(printable("a\nb\t\x1b[31m\\"), "a\\nb\\t\\x1b[31m\\\\");
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
}

TEST(PredictionsText, TheTableIsTheTutorials) {
  const Predictions predictions{
      .class_count = 3, .classes = {1, 0}, .probabilities = {0.25f, 0.5f, 0.25f, 1, 0, 1e-7f}};
  EXPECT_EQ(predictions_table(predictions),
            "CLASSES  PROBABILITIES\n"
            "1        [0.25, 0.5, 0.25]\n"
            "0        [1.0, 0.0, 1.0000000116860974e-07]\n");
}

TEST(PredictionsText, JsonHasAnObjectForEachInstance) {
  const Predictions predictions{.class_count = 2, .classes = {1, 0}, .probabilities = {0.25f, 0.75f, 1, 0}};
  EXPECT_EQ(predictions_json(predictions),
            "{\"predictions\": [\n"
            "  {\"classes\": 1, \"probabilities\": [0.25, 0.75]},\n"
            "  {\"classes\": 0, \"probabilities\": [1.0, 0.0]}\n"
            "]}\n");
}

}  // namespace
}  // namespace lockstep
