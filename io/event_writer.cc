// SPDX-License-Identifier: Apache-2.0
#include "io/event_writer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <mutex>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/host_info.h"
#include "io/histogram.h"
#include "io/png_writer.h"
#include "io/proto/event.pb.h"
#include "io/tfrecord.h"

namespace lockstep {
namespace {

constexpr int kNameTries = 100;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

struct NewFile {
  std::string path;
  std::unique_ptr<WritableFile> file;
};

absl::StatusOr<NewFile> create_event_file(const std::string& directory) {
  const std::string first = join_path(
      directory, fmt::format("events.out.tfevents.{:010}.{}", static_cast<int64_t>(seconds_now()), host_name()));
  std::string path = first;
  for (int n = 0;; ++n) {
    auto file = WritableFile::create_new(path);
    if (file.ok()) return NewFile{path, *std::move(file)};
    if (!absl::IsAlreadyExists(file.status()) || n == kNameTries) return file.status();
    path = fmt::format("{}.{}.{}", first, ::getpid(), n);
  }
}

proto::Event new_event(int64_t step) {
  proto::Event event;
  event.set_wall_time(seconds_now());
  event.set_step(step);
  return event;
}

absl::StatusOr<bool> holds_event_files(const std::string& directory) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto names, list_directory(directory));
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return name.find(".tfevents.") != std::string::npos; });
}

}  // namespace

struct EventWriter::State {
  std::string path;
  bool continues = false;
  std::mutex mutex;
  std::unique_ptr<WritableFile> file;  // null once a write has failed
  std::string buffer;

  // One record, flushed, so that a viewer sees it now and a kill loses nothing.
  absl::Status write(const proto::Event& event) {
    std::lock_guard lock(mutex);
    if (file == nullptr) return absl::OkStatus();  // reported before
    buffer.clear();
    append_record(event.SerializeAsString(), buffer);
    absl::Status status = file->append(buffer);
    if (status.ok()) status = file->flush();
    if (!status.ok()) file.reset();
    return annotate(status, "event file (no more events are written to it)");
  }
};

EventWriter::EventWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
EventWriter::~EventWriter() = default;

absl::StatusOr<std::unique_ptr<EventWriter>> EventWriter::open(const std::string& directory,
                                                               const EventWriterOptions& options) {
  LOCKSTEP_RETURN_IF_ERROR(make_directories(directory));
  auto state = std::make_unique<State>();
  LOCKSTEP_ASSIGN_OR_RETURN(state->continues, holds_event_files(directory));
  LOCKSTEP_ASSIGN_OR_RETURN(NewFile created, create_event_file(directory));
  state->path = std::move(created.path);
  state->file = std::move(created.file);

  proto::Event version = new_event(0);
  version.set_file_version("brain.Event:2");
  LOCKSTEP_RETURN_IF_ERROR(state->write(version));
  if (options.resume_step > 0 || state->continues) {
    proto::Event start = new_event(options.resume_step + 1);
    start.mutable_session_log()->set_status(proto::SessionLog::START);
    LOCKSTEP_RETURN_IF_ERROR(state->write(start));
  }
  return std::unique_ptr<EventWriter>(new EventWriter(std::move(state)));
}

const std::string& EventWriter::path() const { return state_->path; }
bool EventWriter::continues() const { return state_->continues; }

absl::Status EventWriter::add_scalar(int64_t step, std::string_view tag, float value) {
  const std::pair<std::string, float> one{tag, value};
  return add_scalars(step, {&one, 1});
}

absl::Status EventWriter::add_scalars(int64_t step, std::span<const std::pair<std::string, float>> values) {
  if (values.empty()) return absl::OkStatus();
  proto::Event event = new_event(step);
  for (const auto& [tag, number] : values) {
    auto* value = event.mutable_summary()->add_value();
    value->set_tag(tag);
    value->set_simple_value(number);
  }
  return state_->write(event);
}

absl::Status EventWriter::add_histogram(int64_t step, std::string_view tag, std::span<const float> values) {
  const Histogram histogram = make_histogram(values);
  if (histogram.count == 0) return absl::OkStatus();
  proto::Event event = new_event(step);
  auto* value = event.mutable_summary()->add_value();
  value->set_tag(std::string(tag));
  auto* histo = value->mutable_histo();
  histo->set_min(histogram.min);
  histo->set_max(histogram.max);
  histo->set_num(histogram.count);
  histo->set_sum(histogram.sum);
  histo->set_sum_squares(histogram.sum_squares);
  histo->mutable_bucket_limit()->Assign(histogram.limits.begin(), histogram.limits.end());
  histo->mutable_bucket()->Assign(histogram.buckets.begin(), histogram.buckets.end());
  return state_->write(event);
}

absl::Status EventWriter::add_image(int64_t step, std::string_view tag, std::span<const uint8_t> pixels, int height,
                                    int width, int channels) {
  LOCKSTEP_ASSIGN_OR_RETURN(std::string png, encode_png(pixels, height, width, channels));
  proto::Event event = new_event(step);
  auto* value = event.mutable_summary()->add_value();
  value->set_tag(std::string(tag));
  auto* image = value->mutable_image();
  image->set_height(height);
  image->set_width(width);
  image->set_colorspace(channels);  // 1 grey, 3 RGB: the number of channels
  image->set_encoded_image_string(std::move(png));
  return state_->write(event);
}

absl::Status EventWriter::add_graph(std::string_view graph_def) {
  proto::Event event = new_event(0);
  event.set_graph_def(std::string(graph_def));
  return state_->write(event);
}

}  // namespace lockstep
