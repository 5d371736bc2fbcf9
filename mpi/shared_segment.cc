// SPDX-License-Identifier: Apache-2.0
#include "mpi/shared_segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// How the other ranks find the memory that rank 0 made.
struct Invitation {
  int64_t pid = 0;
  int64_t fd = -1;
  // Stands at the start of the memory while the ranks join: in another container the same process and descriptor
  // numbers may mean something else.
  uint64_t nonce = 0;
};

absl::Status system_error(const std::string& what) {
  return absl::UnavailableError(fmt::format("{}: {}", what, std::strerror(errno)));
}

// Not limited by the size of /dev/shm, which containers keep small.
absl::StatusOr<FileDescriptor> create_memory(size_t bytes) {
  FileDescriptor fd(memfd_create("lockstep", MFD_CLOEXEC));
  if (fd.get() < 0) return system_error("memfd_create");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    return system_error(fmt::format("shared memory of {} bytes", bytes));
  return fd;
}

absl::StatusOr<FileDescriptor> open_memory(const Invitation& invitation, size_t bytes) {
  if (invitation.fd < 0) return absl::UnavailableError("rank 0 could not create the shared memory");
  const std::string path = fmt::format("/proc/{}/fd/{}", invitation.pid, invitation.fd);
  FileDescriptor fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd.get() < 0) return system_error("shared memory of rank 0 at " + path);
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0) return system_error(path);
  if (info.st_size != static_cast<off_t>(bytes))
    return absl::UnavailableError(
        fmt::format("{}: expected shared memory of {} bytes, found {}", path, bytes, info.st_size));
  return fd;
}

absl::StatusOr<PageBuffer> map_checked(const absl::StatusOr<FileDescriptor>& fd, size_t bytes, uint64_t nonce) {
  LOCKSTEP_RETURN_IF_ERROR(fd.status());
  LOCKSTEP_ASSIGN_OR_RETURN(PageBuffer memory, PageBuffer::map_shared(fd->get(), bytes));
  uint64_t found = 0;
  std::memcpy(&found, memory.data(), sizeof(found));
  if (found != nonce) return absl::UnavailableError("the shared memory of rank 0 is not visible here");
  return memory;
}

// The same verdict on every rank.
absl::Status agree(Communicator& communicator, const absl::Status& mine) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto all, communicator.all_gather(std::string(mine.message())));
  for (int rank = 0; rank < communicator.size(); ++rank)
    if (const std::string& error = all[static_cast<size_t>(rank)]; !error.empty())
      return absl::UnavailableError(fmt::format("rank {} on {}: {}", rank, communicator.host_of(rank), error));
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> make_invitation(size_t bytes, Invitation* invitation) {
  LOCKSTEP_ASSIGN_OR_RETURN(FileDescriptor fd, create_memory(bytes));
  std::random_device random;
  invitation->nonce = (uint64_t{random()} << 32) | random();
  if (pwrite(fd.get(), &invitation->nonce, sizeof(invitation->nonce), 0) != sizeof(invitation->nonce))
    return system_error("writing shared memory");
  invitation->pid = getpid();
  invitation->fd = fd.get();
  return fd;
}

}  // namespace

absl::StatusOr<PageBuffer> open_shared_segment(Communicator& communicator, size_t bytes) {
  Invitation invitation;
  absl::StatusOr<FileDescriptor> fd = FileDescriptor();
  if (communicator.rank() == 0) fd = make_invitation(bytes, &invitation);
  LOCKSTEP_RETURN_IF_ERROR(communicator.broadcast(&invitation, sizeof(invitation), 0));
  if (communicator.rank() != 0) fd = open_memory(invitation, bytes);

  absl::StatusOr<PageBuffer> memory = map_checked(fd, bytes, invitation.nonce);
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator, memory.status()));
  // Everyone has read the nonce; nobody goes on before it is zero again.
  if (communicator.rank() == 0) std::memset(memory->data(), 0, sizeof(invitation.nonce));
  LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("shared memory"));
  return memory;
}

}  // namespace lockstep
