// SPDX-License-Identifier: Apache-2.0
#include "tests/io/event_tags.h"

#include <functional>

#include "core/base/check.h"
#include "core/base/file.h"
#include "io/proto/event.pb.h"
#include "io/tfrecord.h"

namespace lockstep {
namespace {

void for_each_event(const std::string& directory, const std::function<void(const proto::Event&)>& visit) {
  const std::vector<std::string> names = list_directory(directory).value();
  for (const std::string& name : names) {
    if (name.find(".tfevents.") == std::string::npos) continue;
    auto reader = TfRecordReader::open(join_path(directory, name));
    LOCKSTEP_CHECK(reader.ok());
    std::string_view record;
    while ((*reader)->next(&record).value()) {
      proto::Event event;
      LOCKSTEP_CHECK(event.ParseFromArray(record.data(), static_cast<int>(record.size())));
      visit(event);
    }
  }
}

}  // namespace

std::multiset<std::string> event_tags(const std::string& directory) {
  std::multiset<std::string> tags;
  for_each_event(directory, [&](const proto::Event& event) {
    for (const auto& value : event.summary().value()) tags.insert(value.tag());
  });
  return tags;
}

std::vector<std::string> event_graphs(const std::string& directory) {
  std::vector<std::string> graphs;
  for_each_event(directory, [&](const proto::Event& event) {
    if (event.has_graph_def()) graphs.push_back(event.graph_def());
  });
  return graphs;
}

}  // namespace lockstep
