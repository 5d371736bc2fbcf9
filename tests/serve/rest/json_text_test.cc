// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/json_text.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/rng.h"
#include "serve/python_repr.h"

namespace lockstep {
namespace {

std::string serving(float value) {
  std::string out;
  append_serving_float(out, value);
  return out;
}

std::string cloud(float value) {
  std::string out;
  append_cloud_float(out, value);
  return out;
}

// What TensorFlow Serving does, by the C library.
std::string by_printf(float value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.6g", static_cast<double>(value));
  if (std::strtof(text, nullptr) != value) std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
  return std::strpbrk(text, ".e") != nullptr ? text : std::string(text) + ".0";
}

float random_float(const RngStream& stream, uint32_t i) {
  const auto low = static_cast<uint32_t>(stream.uniform(2 * i) * 65536.0f);
  const auto high = static_cast<uint32_t>(stream.uniform(2 * i + 1) * 65536.0f);
  const uint32_t bits = high << 16 | low;
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TEST(ServingFloat, PrintsAsTensorFlowServing) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<float, std::string>> cases = {{0.0f, "0.0"},
                                                            {-0.0f, "-0.0"},
                                                            {1.0f, "1.0"},
                                                            {0.2f, "0.2"},
                                                            {0.999226570f, "0.99922657"},
                                                            {3.5161802e-06f, "3.51618019e-06"},
                                                            {9000000.0f, "9e+06"},
                                                            {0.00003f, "3e-05"},
                                                            {123456.0f, "123456.0"},
                                                            {16777216.0f, "16777216.0"},
                                                            {kInfinity, "Infinity"},
                                                            {-kInfinity, "-Infinity"},
                                                            {std::numeric_limits<float>::quiet_NaN(), "NaN"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(serving(value), text);
}

TEST(ServingFloat, AgreesWithTheCLibraryForAllSizes) {
  const RngStream stream(7, RngPurpose::kTest, 0, 0);
  for (uint32_t i = 0; i < 200'000; ++i) {
    const float value = random_float(stream, i);
    if (std::isfinite(value)) {
      ASSERT_EQ(serving(value), by_printf(value));
    }
  }
  for (uint32_t i = 0; i < 100'000; ++i) {  // what networks answer
    const float value = stream.uniform(i) * (i % 3 == 0 ? 1e-7f : 1.0f);
    ASSERT_EQ(serving(value), by_printf(value));
  }
  for (const float value : {std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::min(),
                            std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(), 1e-40f, 0.1f}) {
    EXPECT_EQ(serving(value), by_printf(value));
  }
}

TEST(CloudFloat, AgreesWithPythonsRepr) {
  const RngStream stream(8, RngPurpose::kTest, 0, 0);
  for (uint32_t i = 0; i < 100'000; ++i) {
    const float value = random_float(stream, i);
    if (std::isfinite(value)) {
      ASSERT_EQ(cloud(value), python_repr(static_cast<double>(value)));
    }
  }
  EXPECT_EQ(cloud(0.99922657f), "0.9992265701293945");
  EXPECT_EQ(cloud(3.5161802e-06f), "3.516180186124984e-06");
  EXPECT_EQ(cloud(1.0f), "1.0");
  EXPECT_EQ(cloud(std::numeric_limits<float>::quiet_NaN()), "NaN");
}

TEST(JsonText, ListsAndStrings) {
  std::string out;
  append_list(out, std::vector<float>{0.25f, 1.0f}, append_serving_float);
  EXPECT_EQ(out, "[0.25, 1.0]");
  EXPECT_EQ(json_string("a\"\n\x01"), "\"a\\\"\\n\\u0001\"");
  EXPECT_EQ(nlohmann::json::parse(json_string("\xff ok")).get<std::string>(), "\xef\xbf\xbd ok");
}

}  // namespace
}  // namespace lockstep
