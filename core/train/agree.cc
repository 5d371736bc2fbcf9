// SPDX-License-Identifier: Apache-2.0
#include "core/train/agree.h"

#include <fmt/format.h>

#include "absl/strings/cord.h"

namespace lockstep {
namespace {

constexpr char kAgreedPayload[] = "lockstep/agreed";

absl::Status agreed(absl::Status status) {
  status.SetPayload(kAgreedPayload, absl::Cord());
  return status;
}

}  // namespace

absl::Status agree(Communicator& communicator, const absl::Status& mine) {
  const std::string blob =
      mine.ok() ? "" : fmt::format("{} {}", static_cast<int>(mine.code()), std::string(mine.message()));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto blobs, communicator.all_gather(blob));
  for (int rank = 0; rank < communicator.size(); ++rank) {
    const std::string& other = blobs[static_cast<size_t>(rank)];
    if (other.empty()) continue;
    const auto code = static_cast<absl::StatusCode>(std::atoi(other.c_str()));
    const std::string message = other.substr(other.find(' ') + 1);
    if (communicator.size() == 1) return agreed(absl::Status(code, message));
    return agreed(absl::Status(code, fmt::format("rank {} on {}: {}", rank, communicator.host_of(rank), message)));
  }
  return absl::OkStatus();
}

bool is_agreed(const absl::Status& status) { return status.GetPayload(kAgreedPayload).has_value(); }

absl::Status check_same_on_all_ranks(Communicator& communicator, std::string_view what, std::string_view value) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto values, communicator.all_gather(value));
  for (int rank = 1; rank < communicator.size(); ++rank) {
    const std::string& other = values[static_cast<size_t>(rank)];
    if (other == values[0]) continue;
    return agreed(absl::FailedPreconditionError(
        fmt::format("ranks disagree on {}: rank 0 on {} has `{}`, rank {} on {} has `{}`", what,
                    communicator.host_of(0), values[0], rank, communicator.host_of(rank), other)));
  }
  return absl::OkStatus();
}

}  // namespace lockstep
