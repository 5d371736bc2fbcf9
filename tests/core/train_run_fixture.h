// SPDX-License-Identifier: Apache-2.0
// Whole training runs on tiny random images, the ranks as threads of this process.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/file.h"
#include "core/train/trainer.h"
#include "tests/io/io_fixtures.h"
#include "tests/mpi/thread_ranks.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {

inline constexpr char kTinyModel[] = R"(
image: {height: 4, width: 3}
classes: 10
layers:
  - conv: {filters: 4, kernel: 3, activation: relu}
  - max_pool: {window: 2}
  - dense: {units: 12, activation: relu}
  - dropout: {rate: 0.3}
  - dense: {units: 10}
)";

class TrainRun : public testing::Test {
 protected:
  TrainRun() {
    const std::string data = dir_.file("data");
    LOCKSTEP_CHECK(make_directories(data).ok());
    write_idx_directory(data, 90, 37, /*gzip=*/false);
    LOCKSTEP_CHECK(write_file_atomic(dir_.file("model.yaml"), kTinyModel).ok());
    config_.data_dir = data;
    config_.model = dir_.file("model.yaml");
    config_.output_dir = dir_.file("out");
    config_.train_steps = 12;
    config_.train_batch_size = 21;  // does not divide by slices or ranks
    config_.eval_batch_size = 10;
    config_.learning_rate = 0.01;
    config_.augment_shift = 1;
    config_.augment_rotate = 10;
    config_.threads = 1;
    config_.log_step_count_steps = config_.save_summary_steps = 4;
  }

  // Runs to the end on `ranks` threads; returns the first error.
  absl::Status run(const TrainConfig& config, int ranks = 1) {
    absl::Status first;
    std::mutex mutex;
    run_thread_ranks(ranks, ranks, [&](Communicator& communicator) {
      absl::Status status;
      auto trainer = Trainer::create(communicator, config);
      status = trainer.ok() ? (*trainer)->run() : trainer.status();
      const std::lock_guard lock(mutex);
      if (first.ok()) first = status;
    });
    return first;
  }

  std::string file(const std::string& name) const { return join_path(config_.output_dir, name); }
  nlohmann::json run_json() const { return nlohmann::json::parse(*read_file(file("run.json"))); }
  std::string trained_sha(int ranks = 1) {
    std::filesystem::remove_all(config_.output_dir);
    const absl::Status status = run(config_, ranks);
    EXPECT_TRUE(status.ok()) << status;
    return status.ok() ? run_json()["weights_sha256"].get<std::string>() : "";
  }

  // Half a run on three ranks, the rest on two: the weights are those of an undisturbed run.
  void expect_resumed_equals_undisturbed() {
    const std::string sha = trained_sha();
    std::filesystem::remove_all(config_.output_dir);
    TrainConfig half = config_;
    half.train_steps = 5;
    ASSERT_TRUE(run(half, 3).ok());
    EXPECT_NE(run_json()["weights_sha256"], sha);
    ASSERT_TRUE(run(config_, 2).ok());
    EXPECT_EQ(run_json()["weights_sha256"], sha);
    EXPECT_EQ(run_json()["resumed_from"], 5);
  }

  TmpDir dir_;
  TrainConfig config_;
};

}  // namespace lockstep
