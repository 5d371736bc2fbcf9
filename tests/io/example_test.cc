// SPDX-License-Identifier: Apache-2.0
#include "io/example.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/io_fixtures.h"
#include "tests/support/damage.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Wire format by hand, independent of the code under test. Lengths below 128 only.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}
std::string bytes_feature(const std::string& value) { return field(1, field(1, value)); }
std::string int_feature(const std::string& varint) { return field(3, field(1, varint)); }
std::string entry(const std::string& key, const std::string& feature) {
  return field(1, field(1, key) + field(2, feature));
}
std::string example(const std::string& entries) { return field(1, entries); }

const std::string kImage = entry("image_raw", bytes_feature("abcd"));
const std::string kLabel = entry("label", int_feature("\x07"));

std::string error_of(const std::string& bytes) {
  const auto parsed = parse_example(bytes);
  return parsed.ok() ? "" : message_of(parsed.status());
}

TEST(Example, MnistRecordHas875Bytes) {
  std::string out;
  append_example({28, 28, 1}, 5, std::string(784, 'x'), out);
  EXPECT_EQ(out.size(), 875u);
}

TEST(Example, SerialisesInKeyOrder) {
  std::string out;
  append_example({2, 2, 1}, 7, "abcd", out);
  EXPECT_EQ(out, example(entry("depth", int_feature("\x01")) + entry("height", int_feature("\x02")) + kImage + kLabel +
                         entry("width", int_feature("\x02"))));
}

TEST(Example, ReadsWhatItWrites) {
  for (const int64_t label : {int64_t{0}, int64_t{9}, int64_t{127}, int64_t{128}, int64_t{1} << 40, int64_t{-1}}) {
    std::string out;
    const std::string image = noise(300 * 200 * 3, 1);
    append_example({300, 200, 3}, label, image, out);
    const ExampleView view = parse_example(out).value();
    EXPECT_EQ(view.label, label);
    EXPECT_EQ(view.image_raw, image);
    EXPECT_EQ(example_shape(view).value(), (ImageShape{300, 200, 3}));
  }
}

TEST(Example, KeysMayComeInAnyOrderAndUnknownOnesAreSkipped) {
  const std::string extra = entry("name", bytes_feature("x.png")) + entry("weights", field(2, field(1, "\0\0\0\0")));
  for (const std::string& entries : {kImage + kLabel, kLabel + kImage, extra + kLabel + extra + kImage}) {
    const std::string bytes = example(entries);  // the view points into it
    const ExampleView view = parse_example(bytes).value();
    EXPECT_EQ(view.image_raw, "abcd");
    EXPECT_EQ(view.label, 7);
    EXPECT_FALSE(view.height.has_value());
  }
}

TEST(Example, IntegersMayBeUnpacked) {
  const std::string unpacked = entry("label", field(3, "\x08\x95\x01"));
  EXPECT_EQ(parse_example(example(kImage + unpacked)).value().label, 149);
}

TEST(Example, NegativeIntegerIsTenBytes) {
  const std::string minus_two = "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
  EXPECT_EQ(parse_example(example(kImage + entry("label", int_feature(minus_two)))).value().label, -2);
}

TEST(Example, LastDuplicateWins) {
  const std::string later = entry("label", int_feature("\x03"));
  EXPECT_EQ(parse_example(example(kLabel + kImage + later)).value().label, 3);
  EXPECT_EQ(parse_example(example(kLabel + kImage) + example(later)).value().label, 3);
}

TEST(Example, LaterKindOfAFeatureReplacesTheEarlier) {
  const std::string both = entry("label", bytes_feature("no") + int_feature("\x03"));
  EXPECT_EQ(parse_example(example(kImage + both)).value().label, 3);
}

TEST(Example, UnknownFieldsAreSkipped) {
  const std::string unknown = std::string("\x38\x05", 2) + std::string("\x41", 1) + std::string(8, 'f') +
                              std::string("\x4d", 1) + std::string(4, 'f') + field(10, "skip");
  EXPECT_EQ(parse_example(unknown + field(1, unknown + kLabel + kImage)).value().label, 7);
}

TEST(Example, MissingKeyIsNamed) {
  EXPECT_THAT(error_of(""), HasSubstr("`image_raw` is missing"));
  EXPECT_THAT(error_of(example(kImage)), HasSubstr("`label` is missing"));
}

TEST(Example, WrongKindOrCountIsNamed) {
  EXPECT_THAT(error_of(example(kImage + entry("label", bytes_feature("7")))),
              AllOf(HasSubstr("`label`"), HasSubstr("bytes_list"), HasSubstr("expected a int64_list")));
  EXPECT_THAT(error_of(example(kImage + entry("label", int_feature("\x01\x02")))), HasSubstr("2 values"));
  EXPECT_THAT(error_of(example(kImage + entry("label", field(2, field(1, "\0\0\0\0"))))), HasSubstr("float_list"));
  EXPECT_THAT(error_of(example(kImage + kLabel + entry("height", bytes_feature("x")))), HasSubstr("`height`"));
}

TEST(Example, CutAtEveryByteIsAnError) {
  std::string good;
  append_example({2, 2, 1}, 7, "abcd", good);
  for_each_cut(good, [&](const std::string& cut, size_t length) { EXPECT_NE(error_of(cut), "") << length; });
}

TEST(Example, FlippedBitNeverReadsOutside) {
  std::string good;
  append_example({2, 2, 1}, 7, "abcd", good);
  for_each_bit_flip(good, [&](const std::string& damaged, size_t bit) {
    const auto parsed = parse_example(damaged);
    if (!parsed.ok() || parsed->image_raw.empty()) return;
    EXPECT_GE(parsed->image_raw.data(), damaged.data()) << bit;
    EXPECT_LE(parsed->image_raw.data() + parsed->image_raw.size(), damaged.data() + damaged.size()) << bit;
  });
}

TEST(Example, HugeLengthIsAnError) {
  EXPECT_THAT(error_of("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), HasSubstr("past the end"));
  EXPECT_THAT(error_of("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), HasSubstr("longer than 10 bytes"));
  EXPECT_THAT(error_of(std::string("\x03", 1)), HasSubstr("field number"));
  EXPECT_THAT(error_of(std::string("\x0b", 1)), HasSubstr("wire type"));
}

TEST(Example, ShapeIsCheckedAgainstTheImage) {
  const auto shape = [](ExampleView view) { return example_shape(view); };
  EXPECT_EQ(shape({std::string_view("abcdefghi"), 0, {}, {}, {}}).value(), (ImageShape{3, 3, 1}));
  EXPECT_EQ(shape({std::string_view("abcdefghijkl"), 0, {}, {}, 3}).value(), (ImageShape{2, 2, 3}));
  EXPECT_EQ(shape({std::string_view("abcdef"), 0, 2, 3, {}}).value(), (ImageShape{2, 3, 1}));
  EXPECT_FALSE(shape({std::string_view("abcdefgh"), 0, {}, {}, {}}).ok());
  EXPECT_FALSE(shape({std::string_view("abcdef"), 0, 2, 2, 1}).ok());
  EXPECT_FALSE(shape({std::string_view("abcdef"), 0, 6, {}, {}}).ok());
  EXPECT_FALSE(shape({std::string_view(""), 0, {}, {}, {}}).ok());
  EXPECT_FALSE(shape({std::string_view("abcd"), 0, -2, -2, 1}).ok());
  EXPECT_FALSE(shape({std::string_view("abcd"), 0, {}, {}, 0}).ok());
  EXPECT_FALSE(shape({std::string_view("abcd"), 0, int64_t{1} << 62, 4, 1}).ok());
}

}  // namespace
}  // namespace lockstep
