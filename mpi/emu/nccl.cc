// SPDX-License-Identifier: Apache-2.0
#include "nccl.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mpi/emu/nccl_emulator.h"
#include "mpi/message_port.h"

namespace lockstep::emu {
namespace {

// Not used by other messages of a job whose gradients travel between GPUs.
constexpr int kTag = MessagePort::kTags - 2;
// Queries that find a call of a non-blocking communicator still under way.
constexpr int kPollsUntilDone = 2;

thread_local Communicator* attached = nullptr;
thread_local NcclFault fault = NcclFault::kNone;

}  // namespace

// What streams share with the handle: it may be aborted while its operations are queued.
struct NcclState {
  NcclState(Communicator& communicator_, NcclFault fault_, bool blocking_)
      : communicator(communicator_), fault(fault_), blocking(blocking_), connected(blocking_) {}

  Communicator& communicator;
  const NcclFault fault;
  const bool blocking;
  std::atomic<bool> aborted{false};
  int polls_left = 0;
  int groups = 0;
  bool connected = false;
  std::string last_error;

  int rank() const { return communicator.rank(); }
  int ranks() const { return communicator.size(); }
};

}  // namespace lockstep::emu

struct ncclComm {
  std::shared_ptr<lockstep::emu::NcclState> state;
};

namespace lockstep::emu {
namespace {

struct Transfer {
  enum Kind { kSend, kReceive, kAllGather, kAllReduce };
  Kind kind;
  const float* from;
  float* to;
  size_t count;
  int peer;
  size_t bytes() const { return count * sizeof(float); }
};

// One operation of a stream: all transfers of a group, at once.
class GroupWork {
 public:
  GroupWork(std::shared_ptr<NcclState> state, std::vector<Transfer> transfers)
      : state_(std::move(state)), transfers_(std::move(transfers)) {}

  absl::Status run() {
    if (state_->aborted) return absl::AbortedError("NCCL: the communicator was aborted");
    for (const Transfer& t : transfers_) LOCKSTEP_RETURN_IF_ERROR(start(t));
    const absl::Status status = state_->ranks() == 1 ? absl::OkStatus()
                                                     : state_->communicator.wait_for_others("transfers between GPUs",
                                                                                            [this] { return done(); });
    for (MessageRequest& request : requests_) state_->communicator.messages()->cancel(&request);
    if (status.ok()) finish();
    return status;
  }

 private:
  absl::Status send(int peer, const float* from, size_t bytes) {
    return state_->communicator.messages()->send(peer, kTag, from, bytes, &requests_.emplace_back());
  }
  absl::Status receive(int peer, float* to, size_t bytes) {
    return state_->communicator.messages()->receive(peer, kTag, to, bytes, &requests_.emplace_back());
  }

  absl::Status start(const Transfer& t) {
    switch (t.kind) {
      case Transfer::kSend:
        if (t.peer != state_->rank()) return send(t.peer, t.from, t.bytes());
        own_sends_.push_back(t.from);
        return absl::OkStatus();
      case Transfer::kReceive:
        if (t.peer != state_->rank()) return receive(t.peer, t.to, t.bytes());
        own_receives_.push_back(t);
        return absl::OkStatus();
      case Transfer::kAllGather:
        return start_all_gather(t);
      case Transfer::kAllReduce:
        break;
    }
    return start_all_reduce(t);
  }

  absl::Status start_all_gather(const Transfer& t) {
    for (int peer = 0; peer < state_->ranks(); ++peer) {
      float* const place = t.to + static_cast<size_t>(peer) * t.count;
      if (peer == state_->rank()) {
        if (place != t.from) std::memcpy(place, t.from, t.bytes());
        continue;
      }
      LOCKSTEP_RETURN_IF_ERROR(send(peer, t.from, t.bytes()));
      LOCKSTEP_RETURN_IF_ERROR(receive(peer, place, t.bytes()));
    }
    return absl::OkStatus();
  }

  absl::Status start_all_reduce(const Transfer& t) {
    Sum& sum = sums_.emplace_back();
    sum.to = t.to;
    sum.terms.resize(static_cast<size_t>(state_->ranks()), std::vector<float>(t.count));
    for (int peer = 0; peer < state_->ranks(); ++peer) {
      std::vector<float>& term = sum.terms[static_cast<size_t>(peer)];
      if (peer == state_->rank()) {
        std::copy_n(t.from, t.count, term.begin());
        continue;
      }
      LOCKSTEP_RETURN_IF_ERROR(send(peer, t.from, t.bytes()));
      LOCKSTEP_RETURN_IF_ERROR(receive(peer, term.data(), t.bytes()));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> done() {
    if (state_->aborted) return absl::AbortedError("NCCL: the communicator was aborted");
    while (!requests_.empty()) {
      LOCKSTEP_ASSIGN_OR_RETURN(const bool arrived, state_->communicator.messages()->test(&requests_.back()));
      if (!arrived) return false;
      requests_.pop_back();
    }
    return true;
  }

  // What must not overwrite a buffer while a message still reads it.
  void finish() {
    for (size_t i = 0; i < std::min(own_sends_.size(), own_receives_.size()); ++i) {
      std::memcpy(own_receives_[i].to, own_sends_[i], own_receives_[i].bytes());
    }
    for (const Sum& sum : sums_) {
      for (size_t i = 0; i < sum.terms[0].size(); ++i) {
        float total = sum.terms[0][i];
        for (size_t rank = 1; rank < sum.terms.size(); ++rank) total += sum.terms[rank][i];
        sum.to[i] = total;
      }
    }
  }

  struct Sum {
    float* to = nullptr;
    std::vector<std::vector<float>> terms;  // [rank]
  };
  const std::shared_ptr<NcclState> state_;
  const std::vector<Transfer> transfers_;
  std::vector<MessageRequest> requests_;
  std::vector<const float*> own_sends_;
  std::vector<Transfer> own_receives_;
  std::vector<Sum> sums_;
};

// The group that the calling thread is collecting.
struct Group {
  int depth = 0;
  std::shared_ptr<NcclState> state;
  cudaStream_t stream = nullptr;
  std::vector<Transfer> transfers;
};
thread_local Group group;

ncclResult_t refuse(NcclState& state, ncclResult_t result, std::string why) {
  state.last_error = std::move(why);
  return result;
}

ncclResult_t launch_group() {
  const Group launched = std::exchange(group, {});
  if (launched.state == nullptr) return ncclSuccess;
  ++launched.state->groups;
  // A captured operation runs many times, each time anew.
  const bool enqueued =
      enqueue_on_stream(launched.stream, [launched] { return GroupWork(launched.state, launched.transfers).run(); });
  if (!enqueued) return refuse(*launched.state, ncclUnhandledCudaError, "the stream takes no work");
  if (launched.state->blocking) return ncclSuccess;
  launched.state->polls_left = kPollsUntilDone;
  return ncclInProgress;
}

ncclResult_t add(const Transfer& transfer, ncclComm_t comm, cudaStream_t stream) {
  if (comm == nullptr) return ncclInvalidArgument;
  NcclState& state = *comm->state;
  if (!state.connected) return refuse(state, ncclInvalidUsage, "the communicator is not connected yet");
  if (transfer.peer < 0 || transfer.peer >= state.ranks())
    return refuse(state, ncclInvalidArgument, fmt::format("there is no rank {}", transfer.peer));
  if (group.state != nullptr && (group.state != comm->state || group.stream != stream))
    return refuse(state, ncclInvalidUsage, "the emulated NCCL takes one communicator and one stream a group");
  const bool alone = group.depth == 0;
  group.state = comm->state;
  group.stream = stream;
  group.transfers.push_back(transfer);
  return alone ? launch_group() : ncclSuccess;
}

}  // namespace

void attach_nccl(Communicator& communicator) { attached = &communicator; }
void break_nccl(NcclFault broken) { fault = broken; }

}  // namespace lockstep::emu

// NOLINTBEGIN: the names are NCCL's.
using namespace lockstep::emu;

ncclResult_t ncclGetVersion(int* version) {
  *version = 22800;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (fault == NcclFault::kNoUniqueId) return ncclSystemError;
  std::memset(id->internal, 'n', sizeof(id->internal));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (attached == nullptr || attached->size() != ranks || attached->rank() != rank) return ncclInvalidUsage;
  if (id.internal[0] != 'n' || id.internal[sizeof(id.internal) - 1] != 'n') return ncclInvalidArgument;
  const bool blocking = config == nullptr || config->blocking != 0;
  *comm = new ncclComm{std::make_shared<NcclState>(*attached, fault, blocking)};
  (*comm)->state->polls_left = kPollsUntilDone;
  return blocking ? ncclSuccess : ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->state->aborted = true;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  NcclState& state = *comm->state;
  *error = ncclInProgress;
  if (!state.connected && state.fault == NcclFault::kConnectHangs) return ncclSuccess;
  if (state.polls_left > 0) {
    --state.polls_left;
    return ncclSuccess;
  }
  *error = ncclSuccess;
  if (!state.connected && state.fault == NcclFault::kConnectFails)
    *error = refuse(state, ncclSystemError, "no route to the other ranks");
  else if (state.groups > 2 && state.fault == NcclFault::kConnectionIsLost)
    *error = refuse(state, ncclRemoteError, "a peer has closed its connection");
  else
    state.connected = true;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    case ncclInternalError:
      break;
  }
  return "internal error";
}

const char* ncclGetLastError(ncclComm_t comm) { return comm == nullptr ? "" : comm->state->last_error.c_str(); }

ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group.depth == 0) return ncclInvalidUsage;
  return --group.depth == 0 ? launch_group() : ncclSuccess;
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add({Transfer::kSend, static_cast<const float*>(data), nullptr, count, peer}, comm, stream);
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add({Transfer::kReceive, nullptr, static_cast<float*>(data), count, peer}, comm, stream);
}

ncclResult_t ncclAllGather(const void* mine, void* all, size_t count, ncclDataType_t, ncclComm_t comm,
                           cudaStream_t stream) {
  return add({Transfer::kAllGather, static_cast<const float*>(mine), static_cast<float*>(all), count, 0}, comm, stream);
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t, ncclRedOp_t, ncclComm_t comm,
                           cudaStream_t stream) {
  return add({Transfer::kAllReduce, static_cast<const float*>(from), static_cast<float*>(to), count, 0}, comm, stream);
}
// NOLINTEND
