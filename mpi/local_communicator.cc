// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>

#include "core/base/host_info.h"
#include "core/base/log.h"
#include "mpi/communicator.h"

namespace lockstep {
namespace {

// A job of one process: nobody to wait for, nobody to watch.
class LocalCommunicator : public Communicator {
 public:
  std::string_view name() const override { return "local"; }
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  const std::string& host_of(int) const override { return host_; }

  absl::Status barrier(std::string_view) override { return absl::OkStatus(); }
  absl::Status broadcast(void*, size_t, int) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> all_gather(std::string_view blob) override {
    return std::vector<std::string>{std::string(blob)};
  }
  void note_progress() override {}

  [[noreturn]] void abort(std::string_view reason) override {
    LOG_ERROR("stopped on {}: {}", host_, reason);
    std::fflush(nullptr);
    // Other threads may be anywhere: no destructors.
    std::_Exit(1);
  }

 private:
  const std::string host_ = host_name();
};

}  // namespace

std::unique_ptr<Communicator> make_local_communicator() { return std::make_unique<LocalCommunicator>(); }

}  // namespace lockstep
