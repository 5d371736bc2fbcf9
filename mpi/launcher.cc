// SPDX-License-Identifier: Apache-2.0
#include "mpi/launcher.h"

#include <fmt/format.h>

#include <cstdlib>

#include "absl/strings/numbers.h"

namespace lockstep {
namespace {

// `fallback` when the variable is not set.
absl::StatusOr<int> number_of(const EnvironmentLookup& environment, const char* name, int fallback) {
  const auto text = environment(name);
  if (!text) return fallback;
  int value = 0;
  if (!absl::SimpleAtoi(*text, &value) || value < 0)
    return absl::InvalidArgumentError(
        fmt::format("environment variable {}: expected a number, found `{}`", name, *text));
  return value;
}

absl::StatusOr<Launch> named_launch(const EnvironmentLookup& environment, const char* launcher, const char* size_name,
                                    const char* rank_name, const char* job_name) {
  Launch launch;
  launch.uses_mpi = true;
  launch.launcher = launcher;
  LOCKSTEP_ASSIGN_OR_RETURN(launch.declared_size, number_of(environment, size_name, 0));
  LOCKSTEP_ASSIGN_OR_RETURN(launch.declared_rank, number_of(environment, rank_name, -1));
  launch.job = environment(job_name).value_or("");
  return launch;
}

// srun without a PMI plugin starts processes that know nothing of each other.
absl::StatusOr<Launch> srun_without_pmi(const EnvironmentLookup& environment) {
  LOCKSTEP_ASSIGN_OR_RETURN(const int tasks, number_of(environment, "SLURM_STEP_NUM_TASKS", 1));
  if (tasks <= 1) return Launch();
  return absl::FailedPreconditionError(
      fmt::format("srun started {} tasks but gives them no PMI to find each other: each would train alone; use "
                  "`srun --mpi=pmix` or `mpirun`",
                  tasks));
}

}  // namespace

absl::StatusOr<Launch> detect_launch(const EnvironmentLookup& environment) {
  // mpirun under Slurm starts its daemons with srun, so its own variables come first.
  if (environment("OMPI_COMM_WORLD_SIZE"))
    return named_launch(environment, "mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_NAMESPACE");
  if (environment("PMIX_RANK"))
    return named_launch(environment, "srun", "SLURM_STEP_NUM_TASKS", "PMIX_RANK", "PMIX_NAMESPACE");
  if (environment("PMI_RANK")) return named_launch(environment, "mpiexec", "PMI_SIZE", "PMI_RANK", "PMI_JOBID");
  if (environment("SLURM_STEP_ID")) return srun_without_pmi(environment);
  return Launch();
}

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

absl::Status check_world_size(const Launch& launch, int mpi_size) {
  if (launch.declared_size == 0 || launch.declared_size == mpi_size) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{} started {} ranks but MPI sees {}: each group would train alone; start with the launcher of the MPI library "
      "that this program is linked with",
      launch.launcher, launch.declared_size, mpi_size));
}

}  // namespace lockstep
