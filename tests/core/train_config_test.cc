// SPDX-License-Identifier: Apache-2.0
#include "core/train/train_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "core/base/file.h"
#include "core/train/lr_schedule.h"
#include "tests/support/damage.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<TrainCommandLine> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "mnist_train");
  return parse_train_command_line(static_cast<int>(arguments.size()), arguments.data());
}

std::string parse_error(std::vector<const char*> arguments) {
  const auto parsed = parse(std::move(arguments));
  return parsed.ok() ? "no error" : std::string(parsed.status().message());
}

std::string yaml_error(const std::string& yaml) {
  TrainConfig config;
  return std::string(apply_yaml(yaml, "c.yaml", &config).message());
}

TEST(TrainCommandLine, WithoutFlagsEveryDefaultHolds) {
  const auto parsed = parse({});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(to_yaml(parsed->config), to_yaml(TrainConfig{}));
}

TEST(TrainCommandLine, FlagsOverrideTheFile) {
  const TmpDir dir;
  const std::string file = dir.file("run.yaml");
  ASSERT_TRUE(write_file_atomic(file, "train_steps: 7\nseed: 3\nlr_schedule: cosine\n").ok());
  const std::string flag = "--config=" + file;
  const auto parsed = parse({"--seed", "5", flag.c_str(), "--shuffle=false"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.train_steps, 7);
  EXPECT_EQ(parsed->config.seed, 5);
  EXPECT_EQ(parsed->config.lr_schedule, "cosine");
  EXPECT_FALSE(parsed->config.shuffle);
}

TEST(TrainCommandLine, LastOfARepeatedFlagCounts) {
  const auto parsed = parse({"--seed=5", "--shuffle=false", "--seed", "6", "--shuffle"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.seed, 6);
  EXPECT_TRUE(parsed->config.shuffle);
}

TEST(TrainCommandLine, JobDirIsTheOutputDirectory) {
  for (const char* flag : {"--job-dir", "--job_dir"}) {
    const auto parsed = parse({flag, "somewhere"});
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->config.output_dir, "somewhere");
  }
}

TEST(TrainCommandLine, EveryFlagTakesDashes) {
  for (const TrainOption& option : train_options()) {
    std::string flag = std::string("--") + option.name;
    std::replace(flag.begin() + 2, flag.end(), '_', '-');
    const std::string value = option_text(TrainConfig{}, option);
    if (value.empty()) continue;
    const auto parsed = parse({flag.c_str(), value.c_str()});
    EXPECT_TRUE(parsed.ok()) << flag << ": " << parsed.status();
  }
  const auto good = parse({"--train-steps=5", "--data-dir", "odd-name", "--output-dir=a-b=c-d"});
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->config.train_steps, 5);
  EXPECT_EQ(good->config.data_dir, "odd-name");
  EXPECT_EQ(good->config.output_dir, "a-b=c-d");
}

TEST(TrainCommandLine, UnknownFlagNamesTheNearest) {
  EXPECT_EQ(parse_error({"--train_step=5"}), "unknown flag --train_step (did you mean `--train_steps`?)");
  EXPECT_EQ(parse_error({"--train-step=5"}), "unknown flag --train-step (did you mean `--train_steps`?)");
  EXPECT_EQ(parse_error({"--zzzzzzzzzzzz"}), "unknown flag --zzzzzzzzzzzz");
  for (const char* flag : {"--batch_size=5", "--batch-size=5"}) {
    EXPECT_THAT(parse_error({flag}), HasSubstr(": it is --train_batch_size here"));
  }
  EXPECT_EQ(parse_error({"--lr", "0.1"}), "unknown flag --lr: it is --learning_rate here");
  EXPECT_THAT(parse_error({"train"}), HasSubstr("unexpected argument `train`"));
}

TEST(TrainCommandLine, DeviceAndBackendMustFit) {
  EXPECT_THAT(parse_error({"--backend=cuda"}), HasSubstr("add --device=cuda"));
  EXPECT_THAT(parse_error({"--collective=nccl"}), HasSubstr("add --device=cuda"));
  EXPECT_THAT(parse_error({"--precision=tf32"}), HasSubstr("add --device=cuda"));
  EXPECT_THAT(parse_error({"--device=cuda", "--backend=simd"}), HasSubstr("runs on the CPU"));
  EXPECT_EQ(parse_error({"--device=cuda", "--backend=cudnn", "--precision=bf16"}), "no error");
  EXPECT_EQ(parse_error({"--device=auto", "--collective=nccl"}), "no error");
}

TEST(TrainCommandLine, BadValuesSayWhatIsExpected) {
  EXPECT_EQ(parse_error({"--train_batch_size=0"}),
            "train_batch_size must be a whole number from 1 to 2.14748e+09 examples, found `0`");
  EXPECT_THAT(parse_error({"--train_steps=1.5"}), HasSubstr("a whole number"));
  EXPECT_THAT(parse_error({"--train_steps"}), HasSubstr("train_steps"));
  for (const char* flag : {"--output_dir=", "--output-dir="}) {
    EXPECT_EQ(parse_error({flag}), "--output_dir has no value behind the `=`");
  }
  EXPECT_THAT(parse_error({"--learning_rate=nan"}), HasSubstr("found `nan`"));
  EXPECT_THAT(parse_error({"--shuffle=maybe"}), HasSubstr("true or false"));
  EXPECT_EQ(parse_error({"--lr_schedule=cosin"}),
            "lr_schedule must be one of constant, cosine, found `cosin` (did you mean `cosine`?)");
  EXPECT_EQ(parse_error({"--device=gpu"}), "device must be one of cpu, cuda, auto, found `gpu` (did you mean `cuda`?)");
  EXPECT_THAT(parse_error({"--grad_slices=6"}), HasSubstr("power of two"));
  EXPECT_THAT(parse_error({"--config=/nonexistent.yaml"}), HasSubstr("/nonexistent.yaml"));
}

TEST(TrainCommandLine, HelpListsEveryFlagWithUnitAndDefault) {
  const auto parsed = parse({"--help"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  for (const TrainOption& option : train_options()) EXPECT_THAT(parsed->text_to_print, HasSubstr(option.name));
  EXPECT_THAT(parsed->text_to_print, HasSubstr("save_checkpoints_secs seconds=180"));
}

TEST(TrainConfigFile, MistakesNameLineAndNearestKey) {
  EXPECT_THAT(yaml_error("seed: 1\ntrain_stps: 5\n"),
              HasSubstr("c.yaml:2: unknown key `train_stps` in the configuration (did you mean `train_steps`?)"));
  EXPECT_THAT(yaml_error("seed: one\n"), HasSubstr("c.yaml:1: seed must be a whole number"));
  EXPECT_THAT(yaml_error("seed: [1]\n"), HasSubstr("c.yaml:1: seed must be one value"));
}

TEST(TrainConfigFile, AnyPathReadsBackTheSame) {
  for (const std::string path :
       {"it's: a # path", "two\nlines", "a\ttab, \"quotes\" and \\", "\x7f\f\r\x01", "Bücher"}) {
    TrainConfig config;
    config.data_dir = path;
    TrainConfig again;
    ASSERT_TRUE(apply_yaml(to_yaml(config), "again", &again).ok()) << to_yaml(config);
    EXPECT_EQ(again.data_dir, path);
  }
}

TEST(TrainConfigFile, WrittenOutItReadsBackTheSame) {
  TrainConfig config;
  config.data_dir = "it's: a # path";
  config.learning_rate = 0.1 + 0.2;
  config.shuffle = false;
  config.seed = 1234567890123456789;
  TrainConfig again;
  ASSERT_TRUE(apply_yaml(to_yaml(config), "again", &again).ok());
  EXPECT_EQ(to_yaml(again), to_yaml(config));
  EXPECT_EQ(again.learning_rate, config.learning_rate);
}

// A damaged file is refused with its name, or sets other values; those can be written out and read again.
void expect_error_or_config(const std::string& text, size_t place) {
  TrainConfig config;
  const absl::Status status = apply_yaml(text, "c.yaml", &config);
  if (!status.ok()) {
    EXPECT_THAT(std::string(status.message()), HasSubstr("c.yaml")) << place;
    return;
  }
  TrainConfig again;
  const absl::Status reread = apply_yaml(to_yaml(config), "again", &again);
  ASSERT_TRUE(reread.ok()) << place << ": " << reread;
  EXPECT_EQ(to_yaml(again), to_yaml(config)) << place;
}

TEST(DamagedTrainConfigFile, CutAtAnyByteIsAnErrorOrAnotherConfiguration) {
  for_each_cut(to_yaml(TrainConfig{}), expect_error_or_config);
}

TEST(DamagedTrainConfigFile, AnyFlippedBitIsAnErrorOrAnotherConfiguration) {
  for_each_bit_flip(to_yaml(TrainConfig{}), expect_error_or_config);
}

TEST(TrainConfigFile, ModelIsFoundBesideTheFile) {
  const TmpDir dir;
  ASSERT_TRUE(write_file_atomic(dir.file("tiny.yaml"), "x").ok());
  TrainConfig config;
  ASSERT_TRUE(apply_yaml("model: tiny.yaml\n", dir.file("run.yaml"), &config).ok());
  EXPECT_EQ(config.model, dir.file("tiny.yaml"));
}

TEST(TrainConfigFile, ModelBesideTheFileWinsOverOneInTheWorkingDirectory) {
  const TmpDir here, there;
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(here.path());
  ASSERT_TRUE(write_file_atomic("tiny.yaml", "x").ok());
  TrainConfig config;
  EXPECT_TRUE(apply_yaml("model: tiny.yaml\n", there.file("run.yaml"), &config).ok());
  EXPECT_EQ(config.model, "tiny.yaml");
  EXPECT_TRUE(write_file_atomic(there.file("tiny.yaml"), "x").ok());
  EXPECT_TRUE(apply_yaml("model: tiny.yaml\n", there.file("run.yaml"), &config).ok());
  EXPECT_EQ(config.model, there.file("tiny.yaml"));
  std::filesystem::current_path(before);
}

TEST(ArithmeticDifferences, NameOnlyWhatChangesTheResult) {
  TrainConfig saved, now;
  now.train_steps = 20000;
  now.threads = 7;
  now.data_dir = "elsewhere";
  EXPECT_THAT(arithmetic_differences(saved, now), ElementsAre());
  now.seed = 2;
  now.learning_rate = 0.01;
  EXPECT_THAT(arithmetic_differences(saved, now),
              ElementsAre("learning_rate: 0.001 in the saved run, 0.01 now", "seed: 1 in the saved run, 2 now"));
}

TEST(ArithmeticDifferences, EndOfACosineIsOneAndSaysWhy) {
  TrainConfig saved, now;
  now.train_steps = 20000;
  EXPECT_THAT(arithmetic_differences(saved, now), ElementsAre());
  saved.lr_schedule = now.lr_schedule = "cosine";
  EXPECT_THAT(arithmetic_differences(saved, now),
              ElementsAre("train_steps: 10000 in the saved run, 20000 now (counts because lr_schedule=cosine: every "
                          "step's rate depends on the last one)"));
}

TEST(TrainCommandLine, WarmUpBeyondTheEndOfACosineSaysHowToGoOn) {
  const std::string error = parse_error({"--lr_schedule=cosine", "--warmup_steps=50", "--train_steps=20"});
  EXPECT_THAT(error, HasSubstr("warmup_steps (50) must not be above train_steps (20)"));
  EXPECT_THAT(error, HasSubstr("--warmup_steps 0"));
}

TEST(LearningRate, WarmsUpThenStaysConstant) {
  TrainConfig config;
  config.learning_rate = 0.1;
  config.warmup_steps = 4;
  EXPECT_FLOAT_EQ(learning_rate_at(config, 0), 0.025f);
  EXPECT_FLOAT_EQ(learning_rate_at(config, 3), 0.1f);
  EXPECT_FLOAT_EQ(learning_rate_at(config, 4), 0.1f);
  EXPECT_FLOAT_EQ(learning_rate_at(config, 1000000), 0.1f);
}

TEST(LearningRate, CosineGoesFromFullToFinal) {
  TrainConfig config;
  config.learning_rate = 0.1;
  config.lr_final = 0.02;
  config.lr_schedule = "cosine";
  config.warmup_steps = 10;
  config.train_steps = 110;
  EXPECT_FLOAT_EQ(learning_rate_at(config, 10), 0.1f);
  EXPECT_FLOAT_EQ(learning_rate_at(config, 60), 0.06f);
  EXPECT_FLOAT_EQ(learning_rate_at(config, 110), 0.02f);
  EXPECT_FLOAT_EQ(learning_rate_at(config, 500), 0.02f);
  for (int step = 10; step < 110; ++step) {
    EXPECT_GT(learning_rate_at(config, step), learning_rate_at(config, step + 1)) << step;
  }
}

}  // namespace
}  // namespace lockstep
