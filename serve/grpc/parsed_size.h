// SPDX-License-Identifier: Apache-2.0
// How much memory a message takes when it is parsed, found without parsing it: two bytes can make an object of a
// hundred. Thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/status.h"

namespace google::protobuf {
class Descriptor;
}

namespace lockstep {

// An upper bound in bytes, as SpaceUsedLong() counts, and the room of the allocator besides. Counting ends beyond
// `most`: what is returned then is more than that, and no bound. InvalidArgument for bytes that are no message.
absl::StatusOr<int64_t> bound_parsed_size(std::string_view bytes, const google::protobuf::Descriptor& type,
                                          int64_t most);

// InvalidArgument for bytes that are no such message, and for those that take more than 8 times their size and 8 MiB
// when they are parsed: ten thousand examples of one number each do not, nor do pixels as packed integers.
absl::Status check_parsed_size(std::string_view bytes, const google::protobuf::Descriptor& type);

}  // namespace lockstep
