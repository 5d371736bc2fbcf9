// SPDX-License-Identifier: Apache-2.0
// Messages and errors between our types and those of the gRPC library. Functions are thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"

namespace grpc {
class ByteBuffer;
class Status;
}  // namespace grpc

namespace lockstep {

std::string to_string(const grpc::ByteBuffer& message);
grpc::ByteBuffer to_message(std::string_view bytes);

// The codes are the same. A text that would not fit into the trailer that clients take is cut.
grpc::Status to_grpc(const absl::Status& status);

}  // namespace lockstep
