// SPDX-License-Identifier: Apache-2.0
#include "mpi/launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Launch> detect(const std::map<std::string, std::string>& variables) {
  return detect_launch([&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

TEST(DetectLaunch, TakesAPlainStartForOneProcess) {
  const auto launch = detect({});
  ASSERT_TRUE(launch.ok());
  EXPECT_FALSE(launch->uses_mpi);
}

TEST(DetectLaunch, KnowsMpirun) {
  const auto launch = detect({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"PMIX_NAMESPACE", "77"}});
  ASSERT_TRUE(launch.ok());
  EXPECT_TRUE(launch->uses_mpi);
  EXPECT_EQ(launch->launcher, "mpirun");
  EXPECT_EQ(launch->declared_size, 4);
  EXPECT_EQ(launch->declared_rank, 3);
  EXPECT_EQ(launch->job, "77");
}

TEST(DetectLaunch, PrefersMpirunInsideASlurmStep) {
  const auto launch = detect({{"OMPI_COMM_WORLD_SIZE", "4"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  ASSERT_TRUE(launch.ok());
  EXPECT_EQ(launch->declared_size, 4);
}

TEST(DetectLaunch, KnowsSrunWithPmix) {
  const auto launch = detect({{"PMIX_RANK", "1"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  ASSERT_TRUE(launch.ok());
  EXPECT_EQ(launch->launcher, "srun");
  EXPECT_EQ(launch->declared_size, 2);
}

TEST(DetectLaunch, KnowsPmi) {
  const auto launch = detect({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}});
  ASSERT_TRUE(launch.ok());
  EXPECT_TRUE(launch->uses_mpi);
  EXPECT_EQ(launch->declared_size, 2);
}

TEST(DetectLaunch, RefusesSrunTasksThatCannotFindEachOther) {
  const auto launch = detect({{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}});
  EXPECT_THAT(std::string(launch.status().message()), HasSubstr("srun --mpi=pmix"));
}

TEST(DetectLaunch, TakesOneSrunTaskOrABatchScriptForAPlainStart) {
  for (const auto& launch : {detect({{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}),
                             detect({{"SLURM_JOB_ID", "9"}, {"SLURM_NTASKS", "4"}})}) {
    ASSERT_TRUE(launch.ok());
    EXPECT_FALSE(launch->uses_mpi);
  }
}

TEST(DetectLaunch, NamesAVariableThatIsNoNumber) {
  for (const char* value : {"", "two", "-1", "3x", "99999999999"}) {
    const auto launch = detect({{"OMPI_COMM_WORLD_SIZE", value}});
    EXPECT_THAT(std::string(launch.status().message()), HasSubstr("OMPI_COMM_WORLD_SIZE")) << value;
  }
}

TEST(CheckWorldSize, RefusesAWorldOfAnotherSizeThanDeclared) {
  Launch launch;
  launch.launcher = "mpirun";
  launch.declared_size = 4;
  EXPECT_TRUE(check_world_size(launch, 4).ok());
  EXPECT_THAT(std::string(check_world_size(launch, 1).message()), HasSubstr("mpirun started 4 ranks but MPI sees 1"));
  launch.declared_size = 0;
  EXPECT_TRUE(check_world_size(launch, 7).ok());
}

}  // namespace
}  // namespace lockstep
