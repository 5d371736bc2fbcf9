// SPDX-License-Identifier: Apache-2.0
// The program `lockstep` as a user meets it: output, exit codes, usage errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "tests/io/io_fixtures.h"
#include "tests/support/run_program.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Outcome run(const std::string& arguments) {
  return run_shell(std::string(LOCKSTEP_PROGRAM) + " " + arguments + " 2>&1");
}

TEST(LockstepProgram, RecordsCreateWritesThreeFiles) {
  TmpDir source, out;
  write_idx_directory(source.path(), 20, 5, true);
  const Outcome outcome =
      run("records create --source " + source.path() + " --directory " + out.path() + " --validation_size=4");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("Extracting " + source.file("train-images-idx3-ubyte.gz") + "\n"));
  EXPECT_THAT(outcome.output, HasSubstr("Writing " + out.file("test.tfrecords") + "\n"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("%")));  // no progress bar: this is no terminal
  EXPECT_EQ(list_directory(out.path()).value().size(), 3u);
}

TEST(LockstepProgram, FailureExitsWithOneAndOneMessage) {
  TmpDir out;
  const Outcome outcome = run("records create --source /absent --directory " + out.path());
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("lockstep: /absent: expected a directory"));
  EXPECT_TRUE(list_directory(out.path()).value().empty());
}

TEST(LockstepProgram, UsageErrorsExitWithTwoAndTheNearestName) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "subcommand is required"},
      {"recods create", "unknown subcommand `recods` (did you mean `records`?)"},
      {"records craete", "unknown subcommand `craete` (did you mean `create`?)"},
      {"records create", "--directory is required"},
      {"records create --directry x", "unknown flag `--directry` (did you mean `--directory`?)"},
      {"records create --directory x --validation-size=3", "(did you mean `--validation_size`?)"},
      {"records create --directory x --validation_size three", "got `three`"},
      {"records create --directory x --validation_size -1", "got `-1`"},
      {"records create --directory x --classes 1000", "--classes"}};
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << arguments;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr("lockstep: "), HasSubstr(message))) << arguments;
  }
}

TEST(LockstepProgram, HelpShowsDefaultsAndUnits) {
  const Outcome outcome = run("records create --help");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("--source DIR_OR_URL=data/mnist\n"), HasSubstr("--validation_size images=5000\n")));
}

}  // namespace
}  // namespace lockstep
