// SPDX-License-Identifier: Apache-2.0
#include "mpi/startup_board.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/sha256.h"

namespace lockstep {
namespace {

size_t board_bytes(int size) { return static_cast<size_t>(size) * sizeof(std::atomic<int32_t>); }

// Maps the named memory, zero-filled by whoever comes first; null when the system refuses.
void* map_named(const std::string& name, size_t bytes) {
  const int fd = shm_open(name.c_str(), O_CREAT | O_RDWR, 0600);
  if (fd < 0) return nullptr;
  void* address = MAP_FAILED;
  if (ftruncate(fd, static_cast<off_t>(bytes)) == 0)
    address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return address == MAP_FAILED ? nullptr : address;
}

}  // namespace

StartupBoard::StartupBoard(const Launch& launch) {
  if (launch.job.empty() || launch.declared_rank < 0 || launch.declared_rank >= launch.declared_size) return;
  name_ = fmt::format("/lockstep-{}-{}", getuid(), sha256_hex(launch.job).substr(0, 16));
  size_ = launch.declared_size;
  pids_ = static_cast<std::atomic<int32_t>*>(map_named(name_, board_bytes(size_)));
  if (pids_ != nullptr) pids_[launch.declared_rank].store(getpid());
}

StartupBoard::~StartupBoard() {
  if (pids_ == nullptr) return;
  take_down();
  munmap(static_cast<void*>(pids_), board_bytes(size_));
}

void StartupBoard::take_down() const { shm_unlink(name_.c_str()); }

std::string StartupBoard::table() const {
  if (pids_ == nullptr) return "no rank is known to be missing on this host";
  std::string text;
  for (int rank = 0; rank < size_; ++rank) {
    if (rank > 0) text += ", ";
    const int32_t pid = pids_[rank].load();
    text += pid == 0 ? fmt::format("rank {} has not started here", rank)
                     : fmt::format("rank {} has started (process {})", rank, pid);
  }
  return text;
}

}  // namespace lockstep
