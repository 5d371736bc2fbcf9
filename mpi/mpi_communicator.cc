// SPDX-License-Identifier: Apache-2.0
#include "mpi/mpi_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "core/base/host_info.h"
#include "core/base/log.h"
#include "mpi/backoff.h"
#include "mpi/deadline.h"
#include "mpi/message_port.h"
#include "mpi/mpi_world.h"
#include "mpi/startup_board.h"
#include "mpi/watchdog.h"

namespace lockstep {
namespace {

// Tells hosts of the same name apart (containers), and is the same for all processes of one.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

// Messages of the transports. Each one that completes is progress: a slow exchange is not a stall.
class MpiPort : public MessagePort {
 public:
  MpiPort(MpiWorld& world, Watchdog& watchdog) : world_(world), watchdog_(watchdog) {}
  absl::Status send(int to, int tag, const void* data, size_t bytes, MessageRequest* request) override {
    return world_.send(MpiWorld::kTransport, to, tag, data, bytes, request);
  }
  absl::Status receive(int from, int tag, void* data, size_t bytes, MessageRequest* request) override {
    return world_.receive(MpiWorld::kTransport, from, tag, data, bytes, request);
  }
  absl::StatusOr<bool> test(MessageRequest* request) override {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool done, world_.test(request));
    if (done) watchdog_.note_progress();
    return done;
  }
  void cancel(MessageRequest* request) override { world_.cancel(request); }

 private:
  MpiWorld& world_;
  Watchdog& watchdog_;
};

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(std::unique_ptr<MpiWorld> world, const CommunicatorOptions& options)
      : world_(std::move(world)),
        finalize_timeout_s_(options.startup_timeout_s),
        hosts_(static_cast<size_t>(world_->size()), "an unknown host"),
        watchdog_(std::in_place, *world_, host_, options.stall_timeout_s,
                  [this](const std::string& report) { stop_job(report); }),
        port_(*world_, *watchdog_) {}
  ~MpiCommunicator() override;

  // Collective: the first barrier, and who is where.
  absl::Status meet();

  std::string_view name() const override { return "mpi"; }
  int rank() const override { return world_->rank(); }
  int size() const override { return world_->size(); }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  const std::string& host_of(int rank) const override { return hosts_[static_cast<size_t>(rank)]; }

  absl::Status barrier(std::string_view what) override;
  absl::Status broadcast(void* data, size_t bytes, int root) override;
  absl::StatusOr<std::vector<std::string>> all_gather(std::string_view blob) override {
    return all_gather_for("all-gather", blob);
  }
  absl::Status wait_for_others(std::string_view what, absl::FunctionRef<absl::StatusOr<bool>()> done) override;
  MessagePort* messages() override { return &port_; }
  void note_progress() override { watchdog_->note_progress(); }
  void add_progress_source(const ProgressSource* source) override { watchdog_->add_progress_source(source); }
  void remove_progress_source(const ProgressSource* source) override { watchdog_->remove_progress_source(source); }

  [[noreturn]] void abort(std::string_view reason) override {
    stop_job(fmt::format("rank {} on {}: {}", rank(), host_, reason));
  }

 private:
  [[noreturn]] void stop_job(const std::string& report) {
    LOG_ERROR("the job ends: {}", report);
    world_->abort();
  }
  absl::Status finish(std::string_view what, MessageRequest* request);
  absl::StatusOr<std::vector<std::string>> all_gather_for(std::string_view what, std::string_view blob);

  const std::string host_ = host_name();
  std::unique_ptr<MpiWorld> world_;
  const double finalize_timeout_s_;
  std::vector<std::string> hosts_;  // [rank]
  int local_rank_ = 0, local_size_ = 1;
  std::optional<Watchdog> watchdog_;
  MpiPort port_;
};

MpiCommunicator::~MpiCommunicator() {
  watchdog_->set_phase(SignOfLife::kLeaving, "");
  MessageRequest request;
  absl::Status status = world_->start_barrier(MpiWorld::kFarewell, &request);
  // Stays in the leaving phase, so not by wait_for_others: if the others are elsewhere, this rank is to blame.
  for (Backoff backoff; status.ok(); backoff.pause()) {
    const absl::StatusOr<bool> done = world_->test(&request);
    status = done.status();
    if (done.ok() && *done) break;
  }
  if (!status.ok()) abort(fmt::format("end of the job: {}", std::string(status.message())));
  watchdog_.reset();
  const Deadline deadline(finalize_timeout_s_, [this] { abort("MPI_Finalize does not return"); });
  status = world_->finalize();
  if (!status.ok()) LOG_WARNING("{}", std::string(status.message()));
}

absl::Status MpiCommunicator::finish(std::string_view what, MessageRequest* request) {
  return wait_for_others(what, [&] { return world_->test(request); });
}

absl::Status MpiCommunicator::wait_for_others(std::string_view what, absl::FunctionRef<absl::StatusOr<bool>()> done) {
  Backoff backoff;
  bool announced = false;
  absl::StatusOr<bool> ready = done();
  for (; ready.ok() && !*ready; ready = done()) {
    if (!announced && backoff.patient()) {
      watchdog_->set_phase(SignOfLife::kWaiting, what);
      announced = true;
    }
    backoff.pause();
  }
  if (announced) watchdog_->set_phase(SignOfLife::kRunning, "");
  watchdog_->note_progress();
  return annotate(ready.status(), fmt::format("rank {} on {}, {}", rank(), host_, what));
}

absl::Status MpiCommunicator::barrier(std::string_view what) {
  MessageRequest request;
  LOCKSTEP_RETURN_IF_ERROR(world_->start_barrier(MpiWorld::kCommunicator, &request));
  return finish(fmt::format("barrier: {}", what), &request);
}

absl::Status MpiCommunicator::broadcast(void* data, size_t bytes, int root) {
  for (size_t at = 0; at < bytes; at += MpiWorld::kMaxBytes) {
    const size_t part = std::min(bytes - at, MpiWorld::kMaxBytes);
    MessageRequest request;
    LOCKSTEP_RETURN_IF_ERROR(world_->start_broadcast(static_cast<char*>(data) + at, part, root, &request));
    LOCKSTEP_RETURN_IF_ERROR(finish(fmt::format("broadcast from rank {}", root), &request));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MpiCommunicator::all_gather_for(std::string_view what, std::string_view blob) {
  const auto ranks = static_cast<size_t>(size());
  if (blob.size() > MpiWorld::kMaxBytes / ranks)
    return absl::InvalidArgumentError(fmt::format("{} of {} bytes from rank {}: at most {} fit", what, blob.size(),
                                                  rank(), MpiWorld::kMaxBytes / ranks));
  const int mine = static_cast<int>(blob.size());
  std::vector<int> lengths(ranks), offsets(ranks);
  MessageRequest request;
  LOCKSTEP_RETURN_IF_ERROR(world_->start_all_gather(&mine, sizeof(mine), lengths.data(), &request));
  LOCKSTEP_RETURN_IF_ERROR(finish(what, &request));

  for (size_t r = 1; r < ranks; ++r) offsets[r] = offsets[r - 1] + lengths[r - 1];
  std::string all(static_cast<size_t>(offsets.back() + lengths.back()), '\0');
  LOCKSTEP_RETURN_IF_ERROR(
      world_->start_all_gather_blobs(blob.data(), mine, all.data(), lengths.data(), offsets.data(), &request));
  LOCKSTEP_RETURN_IF_ERROR(finish(what, &request));

  std::vector<std::string> blobs;
  for (size_t r = 0; r < ranks; ++r)
    blobs.push_back(all.substr(static_cast<size_t>(offsets[r]), static_cast<size_t>(lengths[r])));
  return blobs;
}

absl::Status MpiCommunicator::meet() {
  const std::string place = host_ + '\n' + boot_id();
  LOCKSTEP_ASSIGN_OR_RETURN(const auto places, all_gather_for("start of all ranks", place));
  local_size_ = 0;
  for (int r = 0; r < size(); ++r) {
    const std::string& theirs = places[static_cast<size_t>(r)];
    hosts_[static_cast<size_t>(r)] = theirs.substr(0, theirs.find('\n'));
    if (theirs != place) continue;
    if (r < rank()) ++local_rank_;
    ++local_size_;
  }
  world_->set_hosts(hosts_);
  return absl::OkStatus();
}

// MPI_Init waits until every process has called it, and cannot be polled.
absl::StatusOr<std::unique_ptr<MpiWorld>> open_world(const CommunicatorOptions& options, const Launch& launch) {
  const StartupBoard board(launch);
  // One rank after the other, so that one report is read.
  const double patience = options.startup_timeout_s + 0.1 * std::max(0, launch.declared_rank);
  const Deadline deadline(patience, [&] {
    LOG_ERROR("the job ends: rank {} on {} has waited {:.0f} s for all {} ranks to start: {}", launch.declared_rank,
              host_name(), patience, launch.declared_size, board.table());
    board.take_down();
    std::_Exit(1);  // the launcher ends the others
  });
  return MpiWorld::open();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> open_mpi_communicator(const CommunicatorOptions& options,
                                                                    const Launch& launch) {
  LOCKSTEP_ASSIGN_OR_RETURN(auto world, open_world(options, launch));
  LOCKSTEP_RETURN_IF_ERROR(check_world_size(launch, world->size()));
  auto communicator = std::make_unique<MpiCommunicator>(std::move(world), options);
  LOCKSTEP_RETURN_IF_ERROR(communicator->meet());
  return communicator;
}

}  // namespace lockstep
