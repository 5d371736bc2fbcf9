// SPDX-License-Identifier: Apache-2.0
// `lockstep import` as a user meets it, with the models that TensorFlow wrote (tests/data/tensorflow_models).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "tests/support/fault_file.h"
#include "tests/support/run_program.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ImportCommand : public testing::Test {
 protected:
  Outcome run(const std::string& arguments) const {
    return run_shell("cd " + dir_.path() + " && " + LOCKSTEP_PROGRAM + " " + arguments + " 2>&1");
  }
  void expect_failure(int code, const std::string& arguments, const std::string& message) const {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, code) << arguments;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr("lockstep: "), HasSubstr(message))) << arguments;
  }

  TmpDir dir_;
  const std::string models_ = LOCKSTEP_SOURCE_DIR "/tests/data/tensorflow_models/";
};

TEST_F(ImportCommand, PrintsTheNetworkAndWritesARun) {
  const Outcome outcome = run("import --source " + models_ + "v1_resource --directory out");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(outcome.output,
            "LAYER              SHAPE         PARAMETERS  FROM\n"
            "conv2d             8x8x4\n"
            "  conv2d/kernel    (3, 3, 1, 4)  36          tower/conv2d/kernel\n"
            "  conv2d/bias      (4)           4           tower/conv2d/bias\n"
            "max_pooling2d      4x4x4\n"
            "conv2d_1           4x4x5\n"
            "  conv2d_1/kernel  (3, 3, 4, 5)  180         tower/conv2d_1/kernel\n"
            "  conv2d_1/bias    (5)           5           tower/conv2d_1/bias\n"
            "max_pooling2d_1    2x2x5\n"
            "dense              1x1x6\n"
            "  dense/kernel     (20, 6)       120         tower/dense/kernel\n"
            "  dense/bias       (6)           6           tower/dense/bias\n"
            "dense_1            1x1x3\n"
            "  dense_1/kernel   (6, 3)        18          tower/dense_1/kernel\n"
            "  dense_1/bias     (3)           3           tower/dense_1/bias\n"
            "Imported " +
                models_ +
                "v1_resource: images 8x8x1, 3 classes, 372 parameters, step 0\n"
                "Run directory written to: out\n");
  EXPECT_THAT(list_directory(dir_.file("out")).value(),
              testing::UnorderedElementsAre("checkpoint", "model.yaml", "model.ckpt-0.index",
                                            "model.ckpt-0.data-00000-of-00001"));
  expect_failure(1, "import --source " + models_ + "v1_resource --directory out",
                 "holds a run or a checkpoint already");
}

TEST_F(ImportCommand, ImportedModelPredictsLikeItsSource) {
  std::string numbers = "0.5";
  for (int i = 1; i < 64; ++i) numbers += i % 3 == 0 ? ",1" : ",0.25";
  spill(dir_.file("request.json"), "[" + numbers + "]\n");
  for (const char* name : {"v1_reference", "checkpoint_v1", "v2_keras", "torch.onnx"}) {
    const std::string directory = std::string("imported_") + name;
    ASSERT_EQ(run("import --source " + models_ + name + " --directory " + directory).exit_code, 0) << name;
    const Outcome imported = run("predict --model_dir " + directory + " --json-instances request.json");
    EXPECT_EQ(imported.exit_code, 0) << imported.output;
    const size_t table = imported.output.find("CLASSES  PROBABILITIES\n");
    ASSERT_NE(table, std::string::npos) << imported.output;
    // Warnings and the model's name are each one's own; the table is the end of both.
    const Outcome direct = run("predict --model_dir " + models_ + name + " --json-instances request.json");
    EXPECT_THAT(direct.output, testing::EndsWith(imported.output.substr(table))) << name;
  }
}

TEST_F(ImportCommand, CheckpointTakesADescription) {
  spill(dir_.file("net.yaml"),
        "image: {height: 8, width: 8}\nclasses: 3\nlayers:\n"
        "  - conv: {filters: 4, kernel: 3, activation: relu}\n  - max_pool: {window: 2}\n"
        "  - conv: {filters: 5, kernel: 3, activation: relu}\n  - max_pool: {window: 2}\n"
        "  - dense: {units: 6, activation: relu}\n  - dense: {units: 3}\n");
  const std::string source = "import --source " + models_ + "checkpoint_v2/ckpt-1";
  expect_failure(1, source + " --directory out", "neither");
  const Outcome outcome = run(source + " --model net.yaml --directory out");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr(".ATTRIBUTES/VARIABLE_VALUE"));
  std::string other = slurp(dir_.file("net.yaml"));
  other.replace(other.find("units: 6"), 8, "units: 7");
  spill(dir_.file("other.yaml"), other);
  expect_failure(1, source + " --model other.yaml --directory out2",
                 "the network needs float32 (20, 7) for dense/kernel, the checkpoint has float32 (20, 6)");
  EXPECT_FALSE(file_exists(dir_.file("out2")));
}

TEST_F(ImportCommand, MistakesAreNamed) {
  expect_failure(2, "import --directory out", "--source is required");
  expect_failure(2, "import --source x", "--directory is required");
  expect_failure(2, "import --source x --directory out --modle y", "--modle");
  expect_failure(1, "import --source nowhere --directory out",
                 "lockstep: nowhere: no such file or directory; expected a run directory");
  expect_failure(1, "import --source " + models_ + "v1_frozen --model absent.yaml --directory out",
                 "lockstep: absent.yaml: no such file; expected the description of a network");
  EXPECT_FALSE(file_exists(dir_.file("out")));
}

}  // namespace
}  // namespace lockstep
