// SPDX-License-Identifier: Apache-2.0
// Whole training runs on a GPU that is not there: everything above the kernels as it is, with reference operators on a
// device in host memory and NCCL's calls between threads. The bits must be those of the CPU's reference backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/train/agree.h"
#include "core/train/device_memory_plan.h"
#include "core/train/train_setup.h"
#include "mpi/emu/nccl_emulator.h"
#include "mpi/local_communicator.h"
#include "mpi/nccl_communicator.h"
#include "tests/core/train_run_fixture.h"
#include "tests/support/fake_cuda_library.h"

namespace lockstep {
namespace {

using emu::NcclFault;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class TrainOnDevice : public TrainRun {
 protected:
  TrainOnDevice() {
    fake_cuda_library() = {};
    config_.device = "cuda";
  }
  ~TrainOnDevice() override { fake_cuda_library() = {}; }

  std::string cpu_sha() {
    TrainConfig cpu = config_;
    cpu.device = "cpu";
    cpu.backend = "ref";
    std::filesystem::remove_all(config_.output_dir);
    const absl::Status status = run(cpu);
    EXPECT_TRUE(status.ok()) << status;
    return run_json()["weights_sha256"];
  }
};

TEST_F(TrainOnDevice, WeightsAreThoseOfTheCpuForEveryRankCount) {
  const std::string sha = cpu_sha();
  for (const int ranks : {1, 2, 3, 4}) EXPECT_EQ(trained_sha(ranks), sha) << ranks;
}

TEST_F(TrainOnDevice, OrderOfIndependentWorkDoesNotMatter) {
  const std::string sha = cpu_sha();
  for (fake_cuda_library().device.seed = 2; fake_cuda_library().device.seed < 6; ++fake_cuda_library().device.seed) {
    EXPECT_EQ(trained_sha(2), sha) << fake_cuda_library().device.seed;
  }
}

TEST_F(TrainOnDevice, ImagesTravelAsBytesWithoutAugmentation) {
  config_.augment_shift = config_.augment_rotate = 0;
  EXPECT_EQ(trained_sha(2), cpu_sha());
}

TEST_F(TrainOnDevice, EvaluationIsThatOfTheCpu) {
  cpu_sha();
  const json cpu = run_json();
  trained_sha(2);
  EXPECT_EQ(run_json()["loss"], cpu["loss"]);
  EXPECT_EQ(run_json()["accuracy"], cpu["accuracy"]);
  EXPECT_THAT(run_json()["backend"].get<std::string>(), HasSubstr("cuda (fake GPU, fp32)"));
  EXPECT_EQ(run_json()["transport"], "nccl");
  EXPECT_EQ(run_json()["config"]["backend"], "cuda");
}

TEST_F(TrainOnDevice, StepIsOneGraphFromTheThirdOn) {
  trained_sha();
  EXPECT_EQ(fake_cuda_library().launches, config_.train_steps - 1);
}

TEST_F(TrainOnDevice, WithoutGraphTheResultIsTheSame) {
  const std::string sha = trained_sha(2);
  fake_cuda_library().launches = 0;
  config_.cuda_graph = false;
  EXPECT_EQ(trained_sha(2), sha);
  config_.cuda_graph = true;
  fake_cuda_library().device.can_capture = false;
  EXPECT_EQ(trained_sha(2), sha);
  EXPECT_EQ(fake_cuda_library().launches, 0);
}

TEST_F(TrainOnDevice, ResumedRunEqualsTheUndisturbedOneOnAnotherNumberOfRanks) { expect_resumed_equals_undisturbed(); }

TEST_F(TrainOnDevice, PlainAllReduceTrainsToo) {
  config_.collective = "nccl";
  const std::string one = trained_sha();
  EXPECT_EQ(trained_sha(3).size(), one.size());
  EXPECT_EQ(run_json()["transport"], "nccl all-reduce");
  const json first = run_json();
  trained_sha(3);
  EXPECT_EQ(run_json()["weights_sha256"], first["weights_sha256"]);
  EXPECT_GT(first["loss"].get<double>(), 0);
}

TEST_F(TrainOnDevice, BatchSmallerThanTheSlicesTrains) {
  config_.train_batch_size = 3;
  EXPECT_EQ(trained_sha(4), cpu_sha());
}

TEST_F(TrainOnDevice, NonFiniteLossNamesStepRankAndLayer) {
  TrainConfig cpu = config_;
  config_.learning_rate = 1e30;
  const std::string message = message_of(run(config_));
  EXPECT_THAT(message, HasSubstr("non-finite loss at step 1 on rank 0"));
  EXPECT_THAT(message, HasSubstr("layer "));
  cpu = config_;
  cpu.device = "cpu";
  cpu.backend = "ref";
  EXPECT_EQ(message_of(run(cpu)), message);
}

TEST_F(TrainOnDevice, NonFiniteLossOfTheLastStepIsAnErrorToo) {
  config_.learning_rate = 1e30;
  config_.train_steps = 2;
  config_.log_step_count_steps = config_.save_summary_steps = 0;
  EXPECT_THAT(message_of(run(config_)), HasSubstr("non-finite loss at step 1"));
}

TEST_F(TrainOnDevice, TooLittleMemoryNamesNeedFreeAndTheLargestBatch) {
  fake_cuda_library().device.memory_bytes = 20 << 20;
  EXPECT_TRUE(run(config_).ok());
  config_.train_batch_size = 20000;
  const std::string message = message_of(run(config_));
  EXPECT_THAT(message, AllOf(HasSubstr("--train_batch_size=20000 needs "), HasSubstr("20 MiB of 20 MiB are free"),
                             HasSubstr("on GPU 0 (fake GPU)")));
  const std::string advice = "the largest --train_batch_size that fits is ";
  ASSERT_THAT(message, HasSubstr(advice));
  config_.train_batch_size = std::stoll(message.substr(message.find(advice) + advice.size()));
  std::filesystem::remove_all(config_.output_dir);
  config_.train_steps = 2;
  EXPECT_TRUE(run(config_).ok()) << config_.train_batch_size;
  ++config_.train_batch_size;
  EXPECT_THAT(message_of(run(config_)), HasSubstr(advice));
}

class CountingCommunicator : public LocalCommunicator {
 public:
  void note_progress() override { ++progress; }
  int progress = 0;
};

// A library may plan each layer for as long as the watchdog lets a rank be silent.
TEST_F(TrainOnDevice, PlanningTheMemoryIsProgressOfEachLayer) {
  CountingCommunicator communicator;
  const auto setup = set_up_training(communicator, config_);
  ASSERT_TRUE(setup.ok()) << setup.status();
  communicator.progress = 0;
  ASSERT_TRUE(check_device_memory(communicator, (*setup)->network, (*setup)->config, *(*setup)->accelerator).ok());
  EXPECT_GE(communicator.progress, (*setup)->network.layer_count());
}

TEST_F(TrainOnDevice, MissingLibraryDriverOrGpuIsAnError) {
  fake_cuda_library().open_error = absl::NotFoundError("there is no CUDA library");
  EXPECT_THAT(message_of(run(config_, 2)), HasSubstr("there is no CUDA library"));
  fake_cuda_library() = {};
  fake_cuda_library().device_count_error = absl::FailedPreconditionError("the driver is too old");
  EXPECT_THAT(message_of(run(config_, 2)), HasSubstr("the driver is too old"));
  fake_cuda_library() = {};
  fake_cuda_library().devices = 2;
  EXPECT_THAT(message_of(run(config_, 3)), HasSubstr("3 ranks on this host, but 2 GPUs"));
  fake_cuda_library() = {};
  fake_cuda_library().same_device = true;
  EXPECT_THAT(message_of(run(config_, 2)), HasSubstr("is rank 0's already"));
  fake_cuda_library() = {};
  fake_cuda_library().has_nccl = false;
  EXPECT_THAT(message_of(run(config_, 2)), HasSubstr("NCCL"));
  EXPECT_TRUE(run(config_, 1).ok());
  config_.backend = "cudnn";
  EXPECT_THAT(message_of(run(config_)), HasSubstr("without cuDNN"));
}

TEST_F(TrainOnDevice, AutoTakesTheGpuOnlyIfEveryRankHasOne) {
  config_.device = "auto";
  trained_sha(2);
  EXPECT_EQ(run_json()["config"]["device"], "cuda");
  fake_cuda_library().devices = 2;
  trained_sha(3);
  EXPECT_EQ(run_json()["config"]["device"], "cpu");
  EXPECT_EQ(run_json()["config"]["backend"], "simd");
  config_.backend = "ref";
  trained_sha(1);
  EXPECT_EQ(run_json()["config"]["device"], "cpu");
  config_.backend = "cuda";
  EXPECT_THAT(message_of(run(config_, 3)), HasSubstr("but 2 GPUs"));
}

TEST_F(TrainOnDevice, ResumeOnAnotherBackendIsRefused) {
  trained_sha();
  config_.train_steps = 20;
  config_.device = "cpu";
  EXPECT_THAT(message_of(run(config_)), HasSubstr("backend: cuda in the saved run, simd now"));
}

// Ranks whose NCCL is broken. (One that breaks while it trains ends the others by aborting the job: not with threads.)
class NcclFailure : public TrainOnDevice {
 protected:
  std::vector<std::string> errors_with(NcclFault fault, const std::vector<bool>& broken) {
    std::vector<std::string> errors(2);
    run_thread_ranks(2, 2, [&](Communicator& communicator) {
      emu::break_nccl(broken[static_cast<size_t>(communicator.rank())] ? fault : NcclFault::kNone);
      auto trainer = Trainer::create(communicator, config_);
      const absl::Status status = trainer.ok() ? (*trainer)->run() : trainer.status();
      errors[static_cast<size_t>(communicator.rank())] = std::string(status.message());
    });
    return errors;
  }
};

TEST_F(NcclFailure, WithoutUniqueIdEveryRankSaysSo) {
  for (const std::string& error : errors_with(NcclFault::kNoUniqueId, {true, false}))
    EXPECT_THAT(error, HasSubstr("NCCL ncclGetUniqueId on rank 0 (threads): unhandled system error"));
}

TEST_F(NcclFailure, FailedConnectionNamesTheRankEverywhere) {
  for (const std::string& error : errors_with(NcclFault::kConnectFails, {false, true}))
    EXPECT_THAT(error, HasSubstr("NCCL ncclCommInitRankConfig on rank 1 (threads): unhandled system error: no route"));
}

TEST_F(NcclFailure, ConnectingThatTakesTooLongIsAborted) {
  fake_cuda_library().nccl_timeout_s = 0.05;
  for (const std::string& error : errors_with(NcclFault::kConnectHangs, {false, true}))
    EXPECT_THAT(error, HasSubstr("NCCL ncclCommInitRankConfig on rank 1 (threads) has not returned"));
}

TEST_F(NcclFailure, LostConnectionEndsTheRunAndIsReported) {
  const auto errors = errors_with(NcclFault::kConnectionIsLost, {true, true});
  EXPECT_THAT(errors[0], AllOf(HasSubstr("rank 0 (threads): remote process exited"), HasSubstr("peer has closed")));
  EXPECT_THAT(errors[1], HasSubstr("rank 1 (threads): remote process exited"));
}

// A rank that fails between the transfers of a group leaves the others in them.
TEST_F(NcclFailure, GroupThatIsNotEnqueuedInFullIsAborted) {
  run_thread_ranks(2, 2, [](Communicator& communicator) {
    emu::attach_nccl(communicator);
    emu::break_nccl(NcclFault::kNone);
    FakeDevice device;
    const DeviceStream stream = device.create_stream().value();
    const auto nccl = NcclCommunicator::open(communicator, 60);
    ASSERT_TRUE(nccl.ok()) << nccl.status();
    float value = 0;
    const absl::Status status = (*nccl)->group("half an exchange", [&]() -> absl::Status {
      LOCKSTEP_RETURN_IF_ERROR((*nccl)->receive(&value, 1, 1 - communicator.rank(), stream));
      return absl::InternalError("no more");
    });
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("half an exchange"), HasSubstr("no more")));
    EXPECT_TRUE(absl::IsAborted((*nccl)->check())) << (*nccl)->check();
    device.destroy(stream);
  });
}

}  // namespace
}  // namespace lockstep
