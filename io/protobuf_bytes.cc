// SPDX-License-Identifier: Apache-2.0
#include "io/protobuf_bytes.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <limits>

namespace lockstep {
namespace {

constexpr size_t kMaxBytes = std::numeric_limits<int32_t>::max();

}  // namespace

absl::StatusOr<std::string> protobuf_bytes(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  if (size > kMaxBytes) {
    return absl::InvalidArgumentError(
        fmt::format("a protobuf of {} bytes, more than the {} that one may have", size, kMaxBytes));
  }
  std::string bytes;
  bytes.reserve(size);
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

bool parse_protobuf(std::string_view bytes, google::protobuf::MessageLite* message) {
  if (bytes.size() > kMaxBytes) return false;
  const google::protobuf::LogSilencer silencer;
  return message->ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace lockstep
