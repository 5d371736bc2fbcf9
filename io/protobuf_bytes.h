// SPDX-License-Identifier: Apache-2.0
// Between protobuf messages and bytes.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"

namespace google::protobuf {
class MessageLite;
}  // namespace google::protobuf

namespace lockstep {

// The same message gives the same bytes: maps are written in the order of their keys. InvalidArgument when they would
// exceed the 2 GiB that a protobuf may have.
absl::StatusOr<std::string> protobuf_bytes(const google::protobuf::MessageLite& message);

// False when `bytes` are no such message; it then holds what came before the damage. Unlike the library's own function
// it prints nothing.
bool parse_protobuf(std::string_view bytes, google::protobuf::MessageLite* message);

}  // namespace lockstep
