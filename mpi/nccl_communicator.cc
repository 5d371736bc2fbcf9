// SPDX-License-Identifier: Apache-2.0
#include "mpi/nccl_communicator.h"

#include <fmt/format.h>
#include <nccl.h>

#include <chrono>
#include <cstring>

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

cudaStream_t native(DeviceStream stream) { return static_cast<cudaStream_t>(stream.native); }

size_t elements(int64_t count) { return static_cast<size_t>(count); }

// Rank 0 makes the id under which all ranks meet; everyone gets it, or rank 0's error.
absl::StatusOr<std::string> shared_unique_id(Communicator& communicator) {
  std::string blob;
  if (communicator.rank() == 0) {
    ncclUniqueId id{};
    const ncclResult_t result = ncclGetUniqueId(&id);
    blob = result == ncclSuccess ? "i" + std::string(id.internal, sizeof(id.internal))
                                 : fmt::format("eNCCL ncclGetUniqueId on rank 0 ({}): {}", communicator.host_of(0),
                                               ncclGetErrorString(result));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const auto blobs, communicator.all_gather(blob));
  const std::string& first = blobs[0];
  if (first[0] == 'e') return absl::UnavailableError(first.substr(1));
  return first.substr(1);
}

// The error of the lowest rank that has one, on every rank.
absl::Status same_everywhere(Communicator& communicator, const absl::Status& mine) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto errors, communicator.all_gather(std::string(mine.message())));
  for (const std::string& error : errors)
    if (!error.empty()) return absl::UnavailableError(error);
  return mine;
}

}  // namespace

struct NcclCommunicator::Library {
  ncclComm_t comm = nullptr;
};

NcclCommunicator::NcclCommunicator(Communicator& communicator, double timeout_s)
    : communicator_(communicator), timeout_s_(timeout_s), library_(std::make_unique<Library>()) {}

NcclCommunicator::~NcclCommunicator() {
  if (library_->comm == nullptr) return;
  if (failed_ || !check().ok()) {
    abort();
  } else {
    ncclCommDestroy(library_->comm);
  }
}

std::string NcclCommunicator::here() const {
  return fmt::format("rank {} ({})", communicator_.rank(), communicator_.host_of(communicator_.rank()));
}

absl::StatusOr<std::unique_ptr<NcclCommunicator>> NcclCommunicator::open(Communicator& communicator, double timeout_s) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string id, shared_unique_id(communicator));
  std::unique_ptr<NcclCommunicator> nccl(new NcclCommunicator(communicator, timeout_s));
  LOCKSTEP_RETURN_IF_ERROR(same_everywhere(communicator, nccl->connect(id)));
  return nccl;
}

absl::Status NcclCommunicator::connect(const std::string& id) {
  ncclUniqueId unique{};
  std::memcpy(unique.internal, id.data(), std::min(id.size(), sizeof(unique.internal)));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  return settled("ncclCommInitRankConfig",
                 ncclCommInitRankConfig(&library_->comm, communicator_.size(), unique, communicator_.rank(), &config));
}

absl::Status NcclCommunicator::error(std::string_view call, int result) const {
  const char* const detail = library_->comm != nullptr ? ncclGetLastError(library_->comm) : nullptr;
  return absl::UnavailableError(
      fmt::format("NCCL {} on {}: {}{}{}", call, here(), ncclGetErrorString(static_cast<ncclResult_t>(result)),
                  detail != nullptr && *detail != '\0' ? ": " : "", detail != nullptr ? detail : ""));
}

// A call of a non-blocking communicator may be still under way when it returns.
absl::Status NcclCommunicator::settled(std::string_view call, int result) {
  ncclResult_t state = static_cast<ncclResult_t>(result);
  if (state == ncclInProgress) {
    const auto end = Clock::now() + std::chrono::duration<double>(timeout_s_);
    const absl::Status waited =
        communicator_.wait_for_others(fmt::format("NCCL {}", call), [&]() -> absl::StatusOr<bool> {
          // Connecting many GPUs may take longer than a rank may be silent; this wait has its own bound.
          communicator_.note_progress();
          const ncclResult_t asked = ncclCommGetAsyncError(library_->comm, &state);
          if (asked != ncclSuccess) state = asked;
          if (state != ncclInProgress) return true;
          if (Clock::now() < end) return false;
          return absl::DeadlineExceededError(fmt::format(
              "NCCL {} on {} has not returned for {:.0f} s; its communicator is aborted", call, here(), timeout_s_));
        });
    if (!waited.ok()) {
      abort();
      return waited;
    }
  }
  if (state == ncclSuccess) return absl::OkStatus();
  const absl::Status failure = error(call, state);
  abort();
  return failure;
}

absl::Status NcclCommunicator::group(std::string_view what, absl::FunctionRef<absl::Status()> enqueue) {
  LOCKSTEP_RETURN_IF_ERROR(annotate(check(), what));
  LOCKSTEP_RETURN_IF_ERROR(settled("ncclGroupStart", ncclGroupStart()));
  const absl::Status enqueued = enqueue();
  const ncclResult_t ended = ncclGroupEnd();  // in any case: groups nest
  if (!enqueued.ok()) {
    abort();  // what was enqueued may still be under way, and waits for ranks that did not get so far
    return annotate(enqueued, what);
  }
  return annotate(settled("ncclGroupEnd", ended), what);
}

absl::Status NcclCommunicator::send(const float* data, int64_t count, int peer, DeviceStream stream) {
  const ncclResult_t result = ncclSend(data, elements(count), ncclFloat, peer, library_->comm, native(stream));
  return result == ncclSuccess || result == ncclInProgress ? absl::OkStatus() : error("ncclSend", result);
}

absl::Status NcclCommunicator::receive(float* data, int64_t count, int peer, DeviceStream stream) {
  const ncclResult_t result = ncclRecv(data, elements(count), ncclFloat, peer, library_->comm, native(stream));
  return result == ncclSuccess || result == ncclInProgress ? absl::OkStatus() : error("ncclRecv", result);
}

absl::Status NcclCommunicator::all_gather(const float* mine, int64_t count, float* all, DeviceStream stream) {
  const ncclResult_t result = ncclAllGather(mine, all, elements(count), ncclFloat, library_->comm, native(stream));
  return result == ncclSuccess || result == ncclInProgress ? absl::OkStatus() : error("ncclAllGather", result);
}

absl::Status NcclCommunicator::all_reduce_sum(float* data, int64_t count, DeviceStream stream) {
  const ncclResult_t result =
      ncclAllReduce(data, data, elements(count), ncclFloat, ncclSum, library_->comm, native(stream));
  return result == ncclSuccess || result == ncclInProgress ? absl::OkStatus() : error("ncclAllReduce", result);
}

absl::Status NcclCommunicator::check() {
  if (library_->comm == nullptr) return absl::AbortedError(fmt::format("NCCL on {} was aborted", here()));
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(library_->comm, &state);
  if (asked != ncclSuccess) state = asked;
  if (state == ncclSuccess || state == ncclInProgress) return absl::OkStatus();
  failed_ = true;
  return error("communication", state);
}

void NcclCommunicator::abort() {
  if (library_->comm != nullptr) ncclCommAbort(library_->comm);
  library_->comm = nullptr;
  failed_ = true;
}

}  // namespace lockstep
