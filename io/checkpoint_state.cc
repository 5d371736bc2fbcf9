// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint_state.h"

#include <fmt/format.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include "core/base/file.h"
#include "io/proto/tensor_bundle.pb.h"

namespace lockstep {
namespace {

constexpr uint64_t kMaxStateBytes = 16 << 20;

// Keeps the first error; protobuf would print it otherwise.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    if (text_.empty()) text_ = fmt::format("line {}, column {}: {}", line + 1, column + 1, message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

std::string checkpoint_state_text(const CheckpointState& state) {
  proto::CheckpointState message;
  message.set_model_checkpoint_path(state.latest);
  for (const std::string& name : state.all) message.add_all_model_checkpoint_paths(name);
  std::string text;
  google::protobuf::TextFormat::PrintToString(message, &text);
  return text;
}

absl::StatusOr<CheckpointState> read_checkpoint_state(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string text, read_file(path, kMaxStateBytes));
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.AllowUnknownField(true);
  proto::CheckpointState message;
  if (!parser.ParseFromString(text, &message)) {
    return absl::DataLossError(
        fmt::format("{}: {}: expected lines such as `model_checkpoint_path: \"model.ckpt-200\"`", path, error.text()));
  }
  if (message.model_checkpoint_path().empty()) {
    return absl::DataLossError(fmt::format("{}: expected a `model_checkpoint_path`, found none", path));
  }
  CheckpointState state;
  state.latest = message.model_checkpoint_path();
  state.all.assign(message.all_model_checkpoint_paths().begin(), message.all_model_checkpoint_paths().end());
  return state;
}

std::string resolve_checkpoint(const std::string& directory, const std::string& name) {
  if (!name.starts_with('/')) return join_path(directory, name);
  return file_exists(name + ".index") ? name : join_path(directory, base_name(name));
}

}  // namespace lockstep
