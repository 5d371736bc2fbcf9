// SPDX-License-Identifier: Apache-2.0
// Every operation of the communicator between real ranks. Exit code 0 when all ranks saw what they should.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "mpi/communicator.h"

namespace lockstep {
namespace {

absl::Status expect(bool holds, std::string_view what) {
  return holds ? absl::OkStatus() : absl::InternalError(std::string(what));
}

absl::Status check_places(Communicator& communicator) {
  LOCKSTEP_RETURN_IF_ERROR(expect(communicator.size() >= 1 && communicator.rank() < communicator.size(), "rank"));
  LOCKSTEP_RETURN_IF_ERROR(expect(communicator.local_size() == communicator.size(), "all ranks are on this host"));
  LOCKSTEP_RETURN_IF_ERROR(expect(communicator.local_rank() == communicator.rank(), "local rank"));
  for (int r = 0; r < communicator.size(); ++r)
    LOCKSTEP_RETURN_IF_ERROR(expect(communicator.host_of(r) == communicator.host_of(0), "host names"));
  return absl::OkStatus();
}

// Rank r sends r * 1000 + round letters, so some blobs are empty and some are large.
absl::Status check_uneven_blobs(Communicator& communicator, int round) {
  const auto blob_of = [&](int rank) {
    return std::string(static_cast<size_t>(rank * 1000 + round), static_cast<char>('a' + rank));
  };
  LOCKSTEP_ASSIGN_OR_RETURN(const auto all, communicator.all_gather(blob_of(communicator.rank())));
  LOCKSTEP_RETURN_IF_ERROR(expect(static_cast<int>(all.size()) == communicator.size(), "number of blobs"));
  for (int r = 0; r < communicator.size(); ++r)
    LOCKSTEP_RETURN_IF_ERROR(expect(all[static_cast<size_t>(r)] == blob_of(r), fmt::format("blob of rank {}", r)));
  return absl::OkStatus();
}

absl::Status check_broadcast(Communicator& communicator, int root) {
  std::vector<int> expected(100000), data(expected.size());
  std::iota(expected.begin(), expected.end(), root);
  if (communicator.rank() == root) data = expected;
  LOCKSTEP_RETURN_IF_ERROR(communicator.broadcast(data.data(), data.size() * sizeof(int), root));
  return expect(data == expected, fmt::format("broadcast from rank {}", root));
}

// Nobody leaves a barrier before the last one has come.
absl::Status check_barrier(Communicator& communicator, int late_rank) {
  using Clock = std::chrono::steady_clock;
  const auto lateness = std::chrono::milliseconds(30);
  LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("before"));
  const auto start = Clock::now();
  while (communicator.rank() == late_rank && Clock::now() - start < lateness) communicator.note_progress();
  LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("after"));
  // The ranks left the first barrier at slightly different times.
  return expect(Clock::now() - start > lateness / 2, "a barrier waits for the last rank");
}

absl::Status check_all(Communicator& communicator) {
  LOCKSTEP_RETURN_IF_ERROR(check_places(communicator));
  for (int round = 0; round < 20; ++round) LOCKSTEP_RETURN_IF_ERROR(check_uneven_blobs(communicator, round));
  for (int root = 0; root < communicator.size(); ++root) {
    LOCKSTEP_RETURN_IF_ERROR(check_broadcast(communicator, root));
    LOCKSTEP_RETURN_IF_ERROR(check_barrier(communicator, root));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace lockstep

int main() {
  auto communicator = lockstep::open_communicator({});
  if (!communicator.ok()) {
    std::fprintf(stderr, "%s\n", communicator.status().ToString().c_str());
    return 1;
  }
  const absl::Status status = lockstep::check_all(**communicator);
  if (!status.ok()) (*communicator)->abort(std::string(status.message()));
  return 0;
}
