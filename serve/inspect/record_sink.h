// SPDX-License-Identifier: Apache-2.0
// Takes the records of one TFRecord file, one after another, and tells what they are.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "serve/inspect/inspect_report.h"

namespace lockstep {

class RecordSink {
 public:
  virtual ~RecordSink() = default;
  // An error says why the payload is not what the file holds otherwise; the caller adds where it is.
  virtual absl::Status add(std::string_view payload) = 0;
  // After the last record: kind, summary, facts and tables.
  virtual void finish(InspectReport& report) = 0;
};

std::unique_ptr<RecordSink> make_example_sink();
std::unique_ptr<RecordSink> make_event_sink();

bool is_example(std::string_view payload);  // at least one feature with a key
bool is_event(std::string_view payload);    // the first record of an event file

}  // namespace lockstep
