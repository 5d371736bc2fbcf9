// SPDX-License-Identifier: Apache-2.0
// `lockstep inspect` as a user meets it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/serve/model_fixture.h"
#include "tests/support/fault_file.h"
#include "tests/support/run_program.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Outcome run(const std::string& arguments) { return run_shell(std::string(LOCKSTEP_PROGRAM) + " inspect " + arguments); }

TEST(InspectCommand, SoundFilesExitWithZero) {
  TmpDir dir;
  write_run(dir.file("run"));
  const Outcome text = run(dir.file("run/model.ckpt-7"));
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.output, AllOf(StartsWith(dir.file("run/model.ckpt-7") + ": tensor bundle"),
                                 HasSubstr("\nNAME           DTYPE    SHAPE"), HasSubstr("dense/kernel"),
                                 HasSubstr("  checksums    6 verified")));
  const Outcome json = run(dir.file("run") + " --json");
  EXPECT_EQ(json.exit_code, 0);
  const auto report = nlohmann::json::parse(json.output);
  EXPECT_EQ(report["kind"], "training run");
  EXPECT_EQ(report["files"].size(), 3u);
}

TEST(InspectCommand, DamageIsPrintedAndExitsWithOne) {
  TmpDir dir;
  write_run(dir.file("run"));
  const std::string data = dir.file("run/model.ckpt-7.data-00000-of-00001");
  spill(data, with_bit_flipped(slurp(data), 0, 0));
  const std::string damage = data + ": tensor `conv2d/bias` at offset 0: expected masked CRC";
  for (const std::string& path : {data, dir.file("run")}) {
    const Outcome outcome = run(path + " 2>/dev/null");
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.output, HasSubstr("\nDAMAGED: " + damage));
    EXPECT_THAT(run(path + " 2>&1 >/dev/null").output, StartsWith("lockstep: " + damage));
    EXPECT_THAT(nlohmann::json::parse(run(path + " --json 2>/dev/null").output).dump(), HasSubstr(damage));
  }
}

TEST(InspectCommand, WhatIsNoneOfTheKnownFilesExitsWithOne) {
  TmpDir dir;
  spill(dir.file("x"), "hello\x01");
  EXPECT_EQ(run(dir.file("x") + " 2>/dev/null").exit_code, 1);
  EXPECT_THAT(run(dir.file("x") + " 2>&1").output, HasSubstr("not recognised"));
  spill(dir.file("model.yaml"), "classes: 3\n");
  const Outcome text = run(dir.file("model.yaml"));
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.output, StartsWith(dir.file("model.yaml") + ": text\n"));
  const Outcome pipe =
      run_shell("cat " + dir.file("model.yaml") + " | " + LOCKSTEP_PROGRAM + " inspect /dev/stdin 2>&1");
  EXPECT_EQ(pipe.exit_code, 1);
  EXPECT_THAT(pipe.output, StartsWith("lockstep: /dev/stdin: a pipe or a device"));
  EXPECT_EQ(run("2>/dev/null").exit_code, 2);
  EXPECT_EQ(run("a b 2>/dev/null").exit_code, 2);
  EXPECT_THAT(run("--jsn a 2>&1").output, HasSubstr("unknown flag `--jsn` (did you mean `--json`?)"));
}

}  // namespace
}  // namespace lockstep
