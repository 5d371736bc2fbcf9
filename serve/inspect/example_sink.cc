// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

#include "io/example.h"
#include "io/wire_reader.h"
#include "serve/inspect/record_sink.h"

namespace lockstep {
namespace {

// Field numbers of tensorflow/core/example/{example,feature}.proto.
constexpr uint32_t kFeatures = 1, kEntry = 1, kKey = 1, kValue = 2, kListValue = 1;
constexpr uint32_t kBytesList = 1, kFloatList = 2, kInt64List = 3;
constexpr size_t kMostKeys = 1000, kMostLabels = 1000, kMostShapes = 10;

struct Feature {
  uint32_t list = 0;   // kBytesList, …; 0: none
  int64_t values = 0;  // numbers, or byte strings
  std::optional<int64_t> first_int;
};

const char* list_name(uint32_t list) {
  return list == kBytesList ? "bytes" : list == kFloatList ? "float" : list == kInt64List ? "int64" : "empty";
}

// Calls visit(field) for every length-delimited field `number` of `message`; false at bad bytes.
template <typename Visit>
bool for_each_message(std::string_view message, uint32_t number, Visit&& visit) {
  WireReader reader(message);
  WireField field;
  while (reader.next(&field)) {
    if (field.number == number && field.wire_type == kWireLength && !visit(field.bytes)) return false;
  }
  return reader.ok();
}

bool read_ints(std::string_view packed, Feature& feature) {
  WireReader reader(packed);
  for (uint64_t value; reader.next_packed(&value); ++feature.values) {
    if (!feature.first_int) feature.first_int = static_cast<int64_t>(value);
  }
  return reader.ok();
}

bool read_list(std::string_view message, Feature& feature) {
  WireReader reader(message);
  WireField field;
  while (reader.next(&field)) {
    if (field.number != kListValue) continue;
    if (field.wire_type != kWireLength) {
      ++feature.values;  // one number, not packed
      if (field.wire_type == kWireVarint && !feature.first_int) feature.first_int = static_cast<int64_t>(field.varint);
    } else if (feature.list == kBytesList) {
      ++feature.values;
    } else if (feature.list == kFloatList) {
      feature.values += static_cast<int64_t>(field.bytes.size() / sizeof(float));
    } else if (!read_ints(field.bytes, feature)) {
      return false;
    }
  }
  return reader.ok();
}

bool read_entry(std::string_view entry, std::string_view& key, Feature& feature) {
  const auto read_value = [&feature](std::string_view value) {
    for (const uint32_t list : {kBytesList, kFloatList, kInt64List}) {
      const bool sound = for_each_message(value, list, [&](std::string_view bytes) {
        feature.list = list;
        return read_list(bytes, feature);
      });
      if (!sound) return false;
    }
    return true;
  };
  return for_each_message(entry, kKey, [&key](std::string_view bytes) { return key = bytes, true; }) &&
         for_each_message(entry, kValue, read_value);
}

// Calls visit(key, feature) for every feature; false when the bytes are no Example.
template <typename Visit>
bool for_each_feature(std::string_view example, Visit&& visit) {
  return for_each_message(example, kFeatures, [&](std::string_view features) {
    return for_each_message(features, kEntry, [&](std::string_view entry) {
      std::string_view key;
      Feature feature;
      if (!read_entry(entry, key, feature)) return false;
      visit(key, feature);
      return true;
    });
  });
}

struct KeyStats {
  uint32_t list = 0;
  int64_t records = 0, fewest = 0, most = 0;
  bool mixed = false;

  void add(const Feature& feature) {
    if (records == 0) *this = {feature.list, 0, feature.values, feature.values, false};
    mixed = mixed || list != feature.list;
    fewest = std::min(fewest, feature.values);
    most = std::max(most, feature.values);
    ++records;
  }
};

class ExampleSink : public RecordSink {
 public:
  absl::Status add(std::string_view payload) override {
    const bool sound =
        for_each_feature(payload, [this](std::string_view key, const Feature& feature) { add_feature(key, feature); });
    if (!sound) return absl::DataLossError("no valid tf.train.Example");
    ++records_;
    add_image(payload);
    return absl::OkStatus();
  }

  void finish(InspectReport& report) override {
    report.kind = "TFRecords of tf.train.Example";
    report.summary = fmt::format("{} records", records_);
    report.add_fact("records", records_);
    if (!shapes_.empty()) describe_images(report);
    if (!labels_.empty()) describe_labels(report);
    InspectTable table{"features", {"key", "type", "records", "values"}, {}};
    for (const auto& [key, stats] : keys_) {
      const std::string values = stats.fewest == stats.most ? fmt::format("{}", stats.most)
                                                            : fmt::format("{} to {}", stats.fewest, stats.most);
      table.rows.push_back({key, stats.mixed ? "mixed" : list_name(stats.list), stats.records, values});
    }
    report.tables.insert(report.tables.begin(), std::move(table));
  }

 private:
  void add_feature(std::string_view key, const Feature& feature) {
    auto it = keys_.find(key);
    if (it == keys_.end()) {
      if (keys_.size() == kMostKeys) return;
      it = keys_.emplace(key, KeyStats()).first;
    }
    it->second.add(feature);
    if (key == "label" && feature.first_int && (labels_.size() < kMostLabels || labels_.contains(*feature.first_int))) {
      ++labels_[*feature.first_int];
    }
  }

  // What training would make of it.
  void add_image(std::string_view payload) {
    const auto example = parse_example(payload);
    const auto shape = example.ok() ? example_shape(*example) : absl::StatusOr<ImageShape>(example.status());
    if (!shape.ok()) {
      if (unusable_++ == 0) reason_ = fmt::format("record {}: {}", records_ - 1, std::string(shape.status().message()));
      return;
    }
    const std::string text = fmt::format("{}x{}x{}", shape->height, shape->width, shape->depth);
    if (shapes_.size() < kMostShapes || shapes_.contains(text)) ++shapes_[text];
  }

  void describe_images(InspectReport& report) const {
    std::vector<std::string> sizes;
    for (const auto& [size, count] : shapes_)
      sizes.push_back(shapes_.size() == 1 ? size : fmt::format("{} ({})", size, count));
    report.summary += fmt::format(" of {}", fmt::join(sizes, ", "));
    report.add_fact("image", fmt::format("{}", fmt::join(sizes, ", ")));
    if (unusable_ == 0) return;
    report.add_fact("unfit for training", unusable_);
    report.add_fact("the first of them", reason_);
  }

  void describe_labels(InspectReport& report) const {
    InspectTable table{"labels", {"label", "count"}, {}};
    for (const auto& [label, count] : labels_) table.rows.push_back({label, count});
    const std::string range = fmt::format("{} to {}", labels_.begin()->first, labels_.rbegin()->first);
    report.summary += fmt::format(", labels {}", range);
    report.add_fact("labels", range);
    report.tables.push_back(std::move(table));
  }

  int64_t records_ = 0, unusable_ = 0;
  std::string reason_;  // why the first one is unusable
  std::map<std::string, KeyStats, std::less<>> keys_;
  std::map<int64_t, int64_t> labels_;
  std::map<std::string, int64_t> shapes_;
};

}  // namespace

std::unique_ptr<RecordSink> make_example_sink() { return std::make_unique<ExampleSink>(); }

bool is_example(std::string_view payload) {
  int features = 0;
  const bool sound = for_each_feature(payload, [&features](std::string_view key, const Feature& feature) {
    features += !key.empty() && feature.list != 0 ? 1 : 0;
  });
  return sound && features > 0;
}

}  // namespace lockstep
