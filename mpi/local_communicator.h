// SPDX-License-Identifier: Apache-2.0
// A job of one process: nobody to wait for, nobody to watch.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/host_info.h"
#include "mpi/communicator.h"

namespace lockstep {

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

  [[noreturn]] void abort(std::string_view reason) override;

 private:
  const std::string host_ = host_name();
};

}  // namespace lockstep
