// SPDX-License-Identifier: Apache-2.0
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "io/proto/event.pb.h"
#include "io/proto/graph.pb.h"
#include "io/protobuf_bytes.h"
#include "serve/inspect/record_sink.h"

namespace lockstep {
namespace {

constexpr size_t kMostTags = 10'000;
constexpr std::string_view kVersionPrefix = "brain.Event:";

std::string time_text(double seconds) {
  constexpr double kYear10000 = 253402300800;
  if (!(seconds >= 0 && seconds < kYear10000)) return fmt::format("{}", seconds);
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

struct Tag {
  std::string kind;
  int64_t count = 0, first_step = 0, last_step = 0;
  InspectValue last;  // value, or size
};

std::string tensor_kind(const proto::Summary::Value& value) {
  const std::string& plugin = value.metadata().plugin_data().plugin_name();
  return plugin.empty() ? "tensor" : fmt::format("tensor ({})", plugin);
}

// One float in any of the forms that TensorFlow writes.
InspectValue tensor_value(const proto::TensorProto& tensor) {
  if (tensor.dtype() != proto::DT_FLOAT) return nullptr;
  if (tensor.float_val_size() == 1) return static_cast<double>(tensor.float_val(0));
  if (tensor.tensor_content().size() != sizeof(float)) return nullptr;
  float value;
  std::copy_n(tensor.tensor_content().data(), sizeof(value), reinterpret_cast<char*>(&value));
  return static_cast<double>(value);
}

void describe_value(const proto::Summary::Value& value, Tag& tag) {
  switch (value.value_case()) {
    case proto::Summary::Value::kSimpleValue:
      tag.kind = "scalar";
      tag.last = static_cast<double>(value.simple_value());
      return;
    case proto::Summary::Value::kImage:
      tag.kind = "image";
      tag.last = fmt::format("{}x{}", value.image().width(), value.image().height());
      return;
    case proto::Summary::Value::kHisto:
      tag.kind = "histogram";
      tag.last =
          fmt::format("{:.0f} values, {:.6g} to {:.6g}", value.histo().num(), value.histo().min(), value.histo().max());
      return;
    case proto::Summary::Value::kTensor:
      tag.kind = tensor_kind(value);
      tag.last = tensor_value(value.tensor());
      return;
    case proto::Summary::Value::VALUE_NOT_SET:
      tag.kind = "other";
      tag.last = nullptr;
  }
}

class EventSink : public RecordSink {
 public:
  absl::Status add(std::string_view payload) override {
    proto::Event event;
    if (!parse_protobuf(payload, &event)) {
      return absl::DataLossError("no valid Event");
    }
    if (events_++ == 0) first_time_ = event.wall_time();
    last_time_ = event.wall_time();
    last_step_ = std::max(last_step_, event.step());
    if (event.what_case() == proto::Event::kFileVersion) version_ = event.file_version();
    if (event.what_case() == proto::Event::kGraphDef) add_graph(event.graph_def());
    if (event.what_case() == proto::Event::kSessionLog) ++sessions_;
    for (const auto& value : event.summary().value()) add_value(event.step(), value);
    return absl::OkStatus();
  }

  void finish(InspectReport& report) override {
    report.kind = "TensorBoard events";
    report.summary = fmt::format("{} events, {} tags, last step {}", events_, tags_.size(), last_step_);
    report.add_fact("events", events_);
    report.add_fact("version", version_);
    report.add_fact("first event", time_text(first_time_));
    report.add_fact("last event", time_text(last_time_));
    report.add_fact("last step", last_step_);
    if (sessions_ > 0) report.add_fact("session marks", sessions_);
    if (!graph_.empty()) report.add_fact("graph", graph_);
    InspectTable table{"tags", {"tag", "kind", "count", "first step", "last step", "last value"}, {}};
    for (const auto& [name, tag] : tags_) {
      table.rows.push_back({name, tag.kind, tag.count, tag.first_step, tag.last_step, tag.last});
    }
    report.tables.push_back(std::move(table));
  }

 private:
  void add_graph(const std::string& bytes) {
    proto::GraphDef graph;
    graph_ = parse_protobuf(bytes, &graph) ? fmt::format("{} nodes", graph.node_size()) : "not a GraphDef";
  }

  void add_value(int64_t step, const proto::Summary::Value& value) {
    if (tags_.size() == kMostTags && !tags_.contains(value.tag())) return;
    Tag& tag = tags_[value.tag()];
    if (tag.count++ == 0) tag.first_step = step;
    tag.last_step = step;
    describe_value(value, tag);
  }

  int64_t events_ = 0, sessions_ = 0, last_step_ = 0;
  double first_time_ = 0, last_time_ = 0;
  std::string version_, graph_;
  std::map<std::string, Tag> tags_;
};

}  // namespace

std::unique_ptr<RecordSink> make_event_sink() { return std::make_unique<EventSink>(); }

bool is_event(std::string_view payload) {
  proto::Event event;
  return parse_protobuf(payload, &event) && event.file_version().starts_with(kVersionPrefix);
}

}  // namespace lockstep
