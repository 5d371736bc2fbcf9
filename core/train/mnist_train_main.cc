// SPDX-License-Identifier: Apache-2.0
// mpirun -np N mnist_train [flags]: parse, build, run. Exit code 0 good, 1 failed, 2 usage.
#include <cstdio>
#include <string>

#include "core/base/log.h"
#include "core/train/agree.h"
#include "core/train/stop_signal.h"
#include "core/train/train_config.h"
#include "core/train/trainer.h"
#include "mpi/communicator.h"

namespace lockstep {
namespace {

int report_usage_error(const absl::Status& status) {
  LOG_ERROR("{}", std::string(status.message()));
  LOG_ERROR("mnist_train --help lists every flag");
  return 2;
}

absl::Status train(Communicator& communicator, const TrainConfig& config) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto trainer, Trainer::create(communicator, config));
  const absl::Status status = trainer->run();
  // A thread hangs in the file system: it cannot be ended, and what it uses must stay.
  if (absl::IsDeadlineExceeded(status) && !is_agreed(status)) communicator.abort(std::string(status.message()));
  return status;
}

int run(int argc, char** argv) {
  const auto command = parse_train_command_line(argc, argv);
  const CommunicatorOptions options{.stall_timeout_s = command.ok() ? command->config.stall_timeout_secs : 7};
  const auto communicator = open_communicator(options);
  if (!communicator.ok()) {
    LOG_ERROR("{}", std::string(communicator.status().message()));
    return 1;
  }
  const bool speaks = (*communicator)->rank() == 0;
  init_logging((*communicator)->rank());
  if (!command.ok()) return speaks ? report_usage_error(command.status()) : 2;
  if (!command->text_to_print.empty()) {
    if (speaks) std::fputs(command->text_to_print.c_str(), stdout);
    return 0;
  }
  catch_stop_signals();
  const absl::Status status = train(**communicator, command->config);
  show_progress("");
  if (status.ok()) return 0;
  if ((*communicator)->size() > 1 && !is_agreed(status)) (*communicator)->abort(std::string(status.message()));
  if (speaks) LOG_ERROR("{}", std::string(status.message()));
  return 1;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::run(argc, argv); }
