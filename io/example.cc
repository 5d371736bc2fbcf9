// SPDX-License-Identifier: Apache-2.0
#include "io/example.h"

#include <fmt/format.h>

#include <cmath>

#include "io/wire_reader.h"

namespace lockstep {
namespace {

// Field numbers, from tensorflow/core/example/{example,feature}.proto.
constexpr uint32_t kExampleFeatures = 1;
constexpr uint32_t kFeaturesEntry = 1;
constexpr uint32_t kEntryKey = 1, kEntryValue = 2;
constexpr uint32_t kBytesList = 1, kFloatList = 2, kInt64List = 3;
constexpr uint32_t kListValue = 1;

// One Feature as far as we use it: which list it holds, how many values, and the first of them.
struct Feature {
  uint32_t kind = 0;
  int64_t count = 0;
  int64_t first_int = 0;
  std::string_view first_bytes;

  // The lists are a oneof: another kind replaces what was there, the same kind adds to it.
  void select(uint32_t new_kind) {
    if (kind == new_kind) return;
    *this = Feature();
    kind = new_kind;
  }
  void add_int(uint64_t value) {
    if (count++ == 0) first_int = static_cast<int64_t>(value);
  }
  void add_bytes(std::string_view value) {
    if (count++ == 0) first_bytes = value;
  }
};

const char* kind_name(uint32_t kind) {
  switch (kind) {
    case kBytesList:
      return "bytes_list";
    case kFloatList:
      return "float_list";
    case kInt64List:
      return "int64_list";
    default:
      return "empty feature";
  }
}

class ExampleParser {
 public:
  explicit ExampleParser(std::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<ExampleView> parse() {
    WireReader reader(bytes_);
    WireField field;
    while (reader.next(&field)) {
      if (field.number == kExampleFeatures && field.wire_type == kWireLength && !parse_features(field.bytes))
        return error_;
    }
    if (!check(reader)) return error_;
    return view();
  }

 private:
  bool check(const WireReader& reader) {
    if (reader.ok()) return true;
    error_ = absl::DataLossError(fmt::format("no valid tf.train.Example: {} at byte {} of {}", reader.reason(),
                                             reader.position() - bytes_.data(), bytes_.size()));
    return false;
  }

  bool parse_features(std::string_view message) {
    WireReader reader(message);
    WireField field;
    while (reader.next(&field)) {
      if (field.number == kFeaturesEntry && field.wire_type == kWireLength && !parse_entry(field.bytes)) return false;
    }
    return check(reader);
  }

  bool parse_entry(std::string_view message) {
    WireReader reader(message);
    WireField field;
    std::string_view key;
    Feature feature;
    while (reader.next(&field)) {
      if (field.wire_type != kWireLength) continue;
      if (field.number == kEntryKey) key = field.bytes;
      if (field.number == kEntryValue && !parse_feature(field.bytes, &feature)) return false;
    }
    if (!check(reader)) return false;
    if (Feature* wanted = wanted_feature(key); wanted != nullptr) *wanted = feature;
    return true;
  }

  bool parse_feature(std::string_view message, Feature* feature) {
    WireReader reader(message);
    WireField field;
    while (reader.next(&field)) {
      if (field.wire_type != kWireLength || field.number < kBytesList || field.number > kInt64List) continue;
      feature->select(field.number);
      if (!parse_list(field.bytes, feature)) return false;
    }
    return check(reader);
  }

  bool parse_list(std::string_view message, Feature* feature) {
    WireReader reader(message);
    WireField field;
    while (reader.next(&field)) {
      if (field.number != kListValue) continue;
      if (feature->kind == kBytesList && field.wire_type == kWireLength) feature->add_bytes(field.bytes);
      if (feature->kind == kInt64List && field.wire_type == kWireVarint) feature->add_int(field.varint);
      if (feature->kind == kInt64List && field.wire_type == kWireLength && !parse_packed(field.bytes, feature))
        return false;
    }
    return check(reader);
  }

  bool parse_packed(std::string_view values, Feature* feature) {
    WireReader reader(values);
    uint64_t value;
    while (reader.next_packed(&value)) feature->add_int(value);
    return check(reader);
  }

  Feature* wanted_feature(std::string_view key) {
    if (key == "image_raw") return &image_raw_;
    if (key == "label") return &label_;
    if (key == "height") return &height_;
    if (key == "width") return &width_;
    if (key == "depth") return &depth_;
    return nullptr;
  }

  absl::StatusOr<ExampleView> view() const {
    ExampleView view;
    LOCKSTEP_RETURN_IF_ERROR(require(image_raw_, "image_raw", kBytesList));
    view.image_raw = image_raw_.first_bytes;
    LOCKSTEP_RETURN_IF_ERROR(require(label_, "label", kInt64List));
    view.label = label_.first_int;
    LOCKSTEP_RETURN_IF_ERROR(optional_int(height_, "height", &view.height));
    LOCKSTEP_RETURN_IF_ERROR(optional_int(width_, "width", &view.width));
    LOCKSTEP_RETURN_IF_ERROR(optional_int(depth_, "depth", &view.depth));
    return view;
  }

  static absl::Status require(const Feature& feature, std::string_view key, uint32_t kind) {
    if (feature.kind == kind && feature.count == 1) return absl::OkStatus();
    if (feature.kind == 0) {
      return absl::DataLossError(
          fmt::format("key `{}` is missing: expected a {} with one value", key, kind_name(kind)));
    }
    return absl::DataLossError(
        fmt::format("key `{}` holds a {}, expected a {} with one value", key, describe(feature), kind_name(kind)));
  }

  static absl::Status optional_int(const Feature& feature, std::string_view key, std::optional<int64_t>* value) {
    if (feature.kind == 0) return absl::OkStatus();
    LOCKSTEP_RETURN_IF_ERROR(require(feature, key, kInt64List));
    *value = feature.first_int;
    return absl::OkStatus();
  }

  static std::string describe(const Feature& feature) {
    if (feature.kind == kFloatList) return kind_name(feature.kind);  // its values are not looked at
    return fmt::format("{} with {} values", kind_name(feature.kind), feature.count);
  }

  const std::string_view bytes_;
  Feature image_raw_, label_, height_, width_, depth_;
  absl::Status error_;
};

size_t varint_size(uint64_t value) {
  size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++size;
  }
  return size;
}

void append_varint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void append_tag(uint32_t number, WireType wire_type, std::string& out) { append_varint(number << 3 | wire_type, out); }

// Size of a length-delimited field with a one-byte tag.
size_t field_size(size_t payload) { return 1 + varint_size(payload) + payload; }

void append_header(uint32_t number, size_t payload, std::string& out) {
  append_tag(number, kWireLength, out);
  append_varint(payload, out);
}

void append_bytes(uint32_t number, std::string_view payload, std::string& out) {
  append_header(number, payload.size(), out);
  out.append(payload);
}

// Sizes are needed before contents, so each entry knows its own: entry {key, Feature {list {value}}}.
size_t entry_size(std::string_view key, size_t list_payload) {
  return field_size(key.size()) + field_size(field_size(field_size(list_payload)));
}

void append_entry(std::string_view key, uint32_t list, size_t list_payload, std::string& out) {
  append_header(kFeaturesEntry, entry_size(key, list_payload), out);
  append_bytes(kEntryKey, key, out);
  append_header(kEntryValue, field_size(field_size(list_payload)), out);
  append_header(list, field_size(list_payload), out);
  append_header(kListValue, list_payload, out);
}

void append_int_entry(std::string_view key, int64_t value, std::string& out) {
  append_entry(key, kInt64List, varint_size(static_cast<uint64_t>(value)), out);
  append_varint(static_cast<uint64_t>(value), out);
}

}  // namespace

absl::StatusOr<ExampleView> parse_example(std::string_view bytes) { return ExampleParser(bytes).parse(); }

absl::StatusOr<ImageShape> example_shape(const ExampleView& example) {
  constexpr int64_t kMaxSide = 1 << 16;
  const auto length = static_cast<int64_t>(example.image_raw.size());
  const int64_t depth = example.depth.value_or(1);
  int64_t height = example.height.value_or(0);
  int64_t width = example.width.value_or(0);
  if (!example.height && !example.width && depth > 0) {
    height = width = std::llround(std::sqrt(static_cast<double>(length / depth)));
  }
  for (const int64_t side : {height, width, depth}) {
    if (side < 1 || side > kMaxSide) {
      return absl::DataLossError(fmt::format("image of height {}, width {}, depth {}: expected sides from 1 to {}",
                                             height, width, depth, kMaxSide));
    }
  }
  if (height * width * depth != length) {
    return absl::DataLossError(fmt::format("image_raw has {} bytes, expected {} for height {}, width {}, depth {}{}",
                                           length, height * width * depth, height, width, depth,
                                           example.height ? "" : " (guessed: the record has no height and width)"));
  }
  return ImageShape{static_cast<int>(height), static_cast<int>(width), static_cast<int>(depth)};
}

void append_example(const ImageShape& shape, int64_t label, std::string_view image_raw, std::string& out) {
  const auto int_entry = [](std::string_view key, int64_t value) {
    return field_size(entry_size(key, varint_size(static_cast<uint64_t>(value))));
  };
  const size_t features = int_entry("depth", shape.depth) + int_entry("height", shape.height) +
                          field_size(entry_size("image_raw", image_raw.size())) + int_entry("label", label) +
                          int_entry("width", shape.width);
  append_header(kExampleFeatures, features, out);
  append_int_entry("depth", shape.depth, out);
  append_int_entry("height", shape.height, out);
  append_entry("image_raw", kBytesList, image_raw.size(), out);
  out.append(image_raw);
  append_int_entry("label", label, out);
  append_int_entry("width", shape.width, out);
}

}  // namespace lockstep
