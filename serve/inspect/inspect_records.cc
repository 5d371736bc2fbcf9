// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "core/base/file.h"
#include "io/tfrecord.h"
#include "serve/inspect/inspectors.h"
#include "serve/inspect/record_sink.h"

namespace lockstep {
namespace {

// Records of whatever a program writes.
class AnySink : public RecordSink {
 public:
  absl::Status add(std::string_view payload) override {
    shortest_ = records_ == 0 ? payload.size() : std::min(shortest_, payload.size());
    longest_ = std::max(longest_, payload.size());
    ++records_;
    return absl::OkStatus();
  }
  void finish(InspectReport& report) override {
    report.kind = "TFRecords";
    report.summary = fmt::format("{} records", records_);
    report.add_fact("records", records_);
    if (records_ == 0) return;
    report.add_fact("shortest record", shortest_);
    report.add_fact("longest record", longest_);
  }

 private:
  int64_t records_ = 0;
  size_t shortest_ = 0, longest_ = 0;
};

std::unique_ptr<RecordSink> sink_for(std::string_view first_payload) {
  if (is_event(first_payload)) return make_event_sink();
  if (is_example(first_payload)) return make_example_sink();
  return std::make_unique<AnySink>();
}

// Of a file that its writer has made and not yet brought to the disk.
constexpr char kNoEvents[] = ": no events; expected a first one that says `brain.Event:2`";

std::string place(const TfRecordReader& reader) {
  return fmt::format("{}: record {} at offset {}", reader.path(), reader.record_number(), reader.record_offset());
}

// Until the end or the first damage of the framing, behind which nothing can be found.
absl::Status read_all(TfRecordReader& reader, std::unique_ptr<RecordSink>& sink, InspectReport& report) {
  constexpr size_t kMostMessages = 10;
  constexpr int kChecksumsOfARecord = 2;
  for (std::string_view payload;;) {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool more, reader.next(&payload));
    if (!more) return absl::OkStatus();
    report.checksums += kChecksumsOfARecord;
    if (sink == nullptr) sink = sink_for(payload);
    const absl::Status status = sink->add(payload);
    if (!status.ok() && report.damage.size() < kMostMessages) {
      report.damage.emplace_back(annotate(status, place(reader)).message());
    }
  }
}

}  // namespace

bool has_events_name(const std::string& path) { return base_name(path).find("tfevents") != std::string::npos; }

void inspect_records(InspectReport& report) {
  report.checksums_over = "CRC-32C of length and data of every record";
  std::unique_ptr<RecordSink> sink;
  const auto reader = TfRecordReader::open(report.path);
  const absl::Status status = reader.ok() ? read_all(**reader, sink, report) : reader.status();
  if (!status.ok()) report.damage.insert(report.damage.begin(), std::string(status.message()));
  if (sink == nullptr && status.ok() && has_events_name(report.path)) report.damage.push_back(report.path + kNoEvents);
  if (sink == nullptr) sink = std::make_unique<AnySink>();
  sink->finish(report);
  if (!status.ok()) report.summary += " before the damage";
  if (reader.ok() && (*reader)->compression() != Compression::kNone) {
    report.add_fact("compression", compression_name((*reader)->compression()));
  }
}

}  // namespace lockstep
