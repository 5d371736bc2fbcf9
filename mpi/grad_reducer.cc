// SPDX-License-Identifier: Apache-2.0
#include "mpi/grad_reducer.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/log.h"
#include "core/base/suggest.h"
#include "mpi/grad_shards.h"
#include "mpi/transports.h"

namespace lockstep {

namespace {

using Made = absl::StatusOr<std::unique_ptr<GradReducer>>;

// The plan decides who reads which bytes: ranks that disagree would train nonsense or wait for ever.
absl::Status check_same_plan(Communicator& communicator, const GradReducerOptions& options, int64_t parameters,
                             const std::vector<Bucket>& buckets) {
  std::string mine = fmt::format("{} transport, {} slices, {} parameters, buckets", options.transport,
                                 options.grad_slices, parameters);
  for (const Bucket& bucket : buckets) mine += fmt::format(" {}+{}", bucket.offset, bucket.size);
  LOCKSTEP_ASSIGN_OR_RETURN(const auto all, communicator.all_gather(mine));
  for (int rank = 1; rank < communicator.size(); ++rank)
    if (const std::string& theirs = all[static_cast<size_t>(rank)]; theirs != all[0])
      return absl::InvalidArgumentError(fmt::format(
          "ranks differ in what they reduce: rank 0 has {}; rank {} on {} has {}; start all with the same settings",
          all[0], rank, communicator.host_of(rank), theirs));
  return absl::OkStatus();
}

Made make_best(Communicator& communicator, const GradPlan& plan) {
  if (communicator.local_size() == communicator.size()) {
    Made shm = make_shm_grad_reducer(communicator, plan);
    if (shm.ok() || !absl::IsUnavailable(shm.status()) || communicator.messages() == nullptr) return shm;
    LOG_WARNING("ranks of one host cannot share memory ({}); they send messages, which is slower",
                std::string(shm.status().message()));
  }
  return make_mpi_grad_reducer(communicator, plan);
}

}  // namespace

absl::StatusOr<GradPlan> agree_on_grad_plan(Communicator& communicator, const GradReducerOptions& options,
                                            int64_t parameters, std::vector<Bucket> buckets) {
  LOCKSTEP_RETURN_IF_ERROR(check_same_plan(communicator, options, parameters, buckets));
  return make_grad_plan(communicator.rank(), communicator.size(), options.grad_slices, parameters, std::move(buckets));
}

Made GradReducer::create(Communicator& communicator, const GradReducerOptions& options, int64_t parameters,
                         std::vector<Bucket> buckets) {
  LOCKSTEP_ASSIGN_OR_RETURN(GradPlan plan, agree_on_grad_plan(communicator, options, parameters, std::move(buckets)));
  const std::string& transport = options.transport;
  if (transport != "auto" && transport != "shm" && transport != "mpi")
    return absl::InvalidArgumentError(fmt::format("unknown transport `{}`: expected auto, shm or mpi{}", transport,
                                                  did_you_mean(transport, {"auto", "shm", "mpi"})));
  if (communicator.size() == 1) return make_local_grad_reducer(std::move(plan));
  if (transport == "shm") return make_shm_grad_reducer(communicator, std::move(plan));
  if (transport == "mpi") return make_mpi_grad_reducer(communicator, std::move(plan));
  return make_best(communicator, plan);
}

}  // namespace lockstep
