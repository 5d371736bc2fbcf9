// SPDX-License-Identifier: Apache-2.0
// Messages as fuzz inputs: mutated text (protobuf's text format) still is a message far more often than mutated bytes.
#pragma once

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/text_format.h>

#include <string>
#include <string_view>

namespace lockstep {

class SilentErrors : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string&) override {}
  void AddWarning(int, int, const std::string&) override {}
};

// The bytes of the message that the text describes; what stands before an error in it counts. Fields that our schemas
// leave out are passed over.
template <typename Message>
std::string bytes_of_text(std::string_view text) {
  Message message;
  SilentErrors errors;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.AllowUnknownField(true);
  parser.SetRecursionLimit(50);
  const google::protobuf::LogSilencer silencer;  // it tells of every text that is not UTF-8
  (void)parser.ParseFromString(std::string(text), &message);
  return message.SerializeAsString();
}

}  // namespace lockstep
