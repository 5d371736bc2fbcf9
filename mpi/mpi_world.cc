// SPDX-License-Identifier: Apache-2.0
#include "mpi/mpi_world.h"

// The C++ bindings were removed from MPI; Open MPI's header still pulls them in unless told not to.
#define OMPI_SKIP_MPICXX 1
#include <fmt/format.h>
#include <mpi.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace lockstep {
namespace {

static_assert(sizeof(MPI_Request) <= sizeof(void*));

void store(MPI_Request handle, size_t bytes, int peer, bool receiving, MessageRequest* request) {
  request->handle = nullptr;
  std::memcpy(&request->handle, &handle, sizeof(handle));
  request->active = true;
  request->bytes = bytes;
  request->peer = peer;
  request->receiving = receiving;
}

MPI_Request handle_of(const MessageRequest& request) {
  MPI_Request handle;
  std::memcpy(&handle, &request.handle, sizeof(handle));
  return handle;
}

}  // namespace

struct MpiWorld::Library {
  MPI_Comm channels[kChannels] = {};  // set by open()
};

MpiWorld::MpiWorld() : library_(std::make_unique<Library>()) {}
MpiWorld::~MpiWorld() = default;

absl::Status MpiWorld::checked(const char* call, int code, int peer) const {
  if (code == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  std::string with = peer >= 0 ? fmt::format(" with rank {}", peer) : "";
  if (peer >= 0 && !hosts_.empty()) with += " on " + hosts_[static_cast<size_t>(peer)];
  return absl::UnavailableError(fmt::format("{}{}: {}", call, with, text));
}

absl::StatusOr<std::unique_ptr<MpiWorld>> MpiWorld::open() {
  std::unique_ptr<MpiWorld> world(new MpiWorld());
  int level = 0;
  LOCKSTEP_RETURN_IF_ERROR(
      world->checked("MPI_Init_thread", MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level), -1));
  if (level < MPI_THREAD_SERIALIZED)
    return absl::FailedPreconditionError("the MPI library was built without thread support; the watchdog needs it");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &world->rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &world->size_);
  for (MPI_Comm& channel : world->library_->channels) {
    LOCKSTEP_RETURN_IF_ERROR(world->checked("MPI_Comm_dup", MPI_Comm_dup(MPI_COMM_WORLD, &channel), -1));
    MPI_Comm_set_errhandler(channel, MPI_ERRORS_RETURN);
  }
  return world;
}

absl::Status MpiWorld::send(Channel channel, int to, int tag, const void* data, size_t bytes, MessageRequest* request) {
  if (bytes > kMaxBytes)
    return absl::InvalidArgumentError(fmt::format("message of {} bytes: at most {} fit", bytes, kMaxBytes));
  const std::lock_guard lock(mutex_);
  MPI_Request handle;
  LOCKSTEP_RETURN_IF_ERROR(
      checked("MPI_Isend",
              MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, to, tag, library_->channels[channel], &handle), to));
  store(handle, bytes, to, false, request);
  return absl::OkStatus();
}

absl::Status MpiWorld::receive(Channel channel, int from, int tag, void* data, size_t bytes, MessageRequest* request) {
  if (bytes > kMaxBytes)
    return absl::InvalidArgumentError(fmt::format("message of {} bytes: at most {} fit", bytes, kMaxBytes));
  const std::lock_guard lock(mutex_);
  MPI_Request handle;
  LOCKSTEP_RETURN_IF_ERROR(checked(
      "MPI_Irecv", MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, from, tag, library_->channels[channel], &handle),
      from));
  store(handle, bytes, from, true, request);
  return absl::OkStatus();
}

absl::StatusOr<bool> MpiWorld::test(MessageRequest* request) {
  if (!request->active) return true;
  const std::lock_guard lock(mutex_);
  MPI_Request handle = handle_of(*request);
  MPI_Status status;
  int done = 0;
  LOCKSTEP_RETURN_IF_ERROR(checked("MPI_Test", MPI_Test(&handle, &done, &status), request->peer));
  if (done == 0) return false;
  request->active = false;
  if (!request->receiving) return true;
  int count = 0;
  MPI_Get_count(&status, MPI_BYTE, &count);
  if (static_cast<size_t>(count) == request->bytes) return true;
  return absl::InternalError(
      fmt::format("message from rank {}: expected {} bytes, found {}", request->peer, request->bytes, count));
}

void MpiWorld::cancel(MessageRequest* request) {
  if (!request->active) return;
  const std::lock_guard lock(mutex_);
  MPI_Request handle = handle_of(*request);
  // Open MPI cannot cancel sends. Freed, they finish on their own if somebody receives them.
  if (request->receiving) MPI_Cancel(&handle);
  MPI_Request_free(&handle);
  request->active = false;
}

absl::Status MpiWorld::start_barrier(Channel channel, MessageRequest* request) {
  const std::lock_guard lock(mutex_);
  MPI_Request handle;
  LOCKSTEP_RETURN_IF_ERROR(checked("MPI_Ibarrier", MPI_Ibarrier(library_->channels[channel], &handle), -1));
  store(handle, 0, -1, false, request);
  return absl::OkStatus();
}

absl::Status MpiWorld::start_broadcast(void* data, size_t bytes, int root, MessageRequest* request) {
  const std::lock_guard lock(mutex_);
  MPI_Request handle;
  LOCKSTEP_RETURN_IF_ERROR(checked(
      "MPI_Ibcast",
      MPI_Ibcast(data, static_cast<int>(bytes), MPI_BYTE, root, library_->channels[kCommunicator], &handle), root));
  store(handle, bytes, root, false, request);
  return absl::OkStatus();
}

absl::Status MpiWorld::start_all_gather(const void* mine, size_t bytes, void* all, MessageRequest* request) {
  const std::lock_guard lock(mutex_);
  MPI_Request handle;
  const int count = static_cast<int>(bytes);
  LOCKSTEP_RETURN_IF_ERROR(checked(
      "MPI_Iallgather",
      MPI_Iallgather(mine, count, MPI_BYTE, all, count, MPI_BYTE, library_->channels[kCommunicator], &handle), -1));
  store(handle, bytes, -1, false, request);
  return absl::OkStatus();
}

absl::Status MpiWorld::start_all_gather_blobs(const void* mine, int bytes, void* all, const int* lengths,
                                              const int* offsets, MessageRequest* request) {
  const std::lock_guard lock(mutex_);
  MPI_Request handle;
  LOCKSTEP_RETURN_IF_ERROR(checked("MPI_Iallgatherv",
                                   MPI_Iallgatherv(mine, bytes, MPI_BYTE, all, lengths, offsets, MPI_BYTE,
                                                   library_->channels[kCommunicator], &handle),
                                   -1));
  store(handle, static_cast<size_t>(bytes), -1, false, request);
  return absl::OkStatus();
}

absl::Status MpiWorld::finalize() {
  const std::lock_guard lock(mutex_);
  if (finalized_) return absl::OkStatus();
  finalized_ = true;
  return checked("MPI_Finalize", MPI_Finalize(), -1);
}

void MpiWorld::abort() {
  // Whatever happens below, the process ends: the default action of this signal is to end it.
  constexpr unsigned kPatienceSeconds = 5;
  signal(SIGALRM, SIG_DFL);
  alarm(kPatienceSeconds);
  std::fflush(nullptr);
  static std::atomic<bool> aborting{false};
  if (!aborting.exchange(true)) {
    // The thread that holds the lock may be stuck in the library. Better to break its threading rule than to stay.
    const bool locked = mutex_.try_lock_for(std::chrono::milliseconds(200));
    MPI_Abort(MPI_COMM_WORLD, 1);
    if (locked) mutex_.unlock();
  } else {
    std::this_thread::sleep_for(std::chrono::seconds(kPatienceSeconds));
  }
  std::_Exit(1);
}

}  // namespace lockstep
