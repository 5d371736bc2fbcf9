// SPDX-License-Identifier: Apache-2.0
#include "tests/mpi/thread_ranks.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

#include "core/base/check.h"
#include "core/base/log.h"
#include "mpi/message_port.h"

namespace lockstep {
namespace {

// One end of a message. The copy happens when both ends are there, on whichever thread comes second: as with MPI, a
// posted buffer may be read or filled at any time.
struct MessageEnd {
  const void* from = nullptr;
  void* into = nullptr;
  size_t bytes = 0;
  bool done = false;
  bool withdrawn = false;
};
using Queue = std::deque<std::shared_ptr<MessageEnd>>;

// What the threads share. A collective is a round: everyone deposits a blob, and the round is complete when all have.
struct World {
  explicit World(int ranks_, int local_size_) : ranks(ranks_), local_size(local_size_) {}
  using Key = std::tuple<int, int, int>;  // from, to, tag

  const int ranks, local_size;
  const std::string host = "threads";
  std::mutex mutex;
  std::map<uint64_t, std::vector<std::optional<std::string>>> rounds;
  std::map<Key, Queue> sends, receives;
};

class ThreadRank : public Communicator, public MessagePort {
 public:
  ThreadRank(World& world, int rank) : world_(world), rank_(rank) {}

  std::string_view name() const override { return "threads"; }
  int rank() const override { return rank_; }
  int size() const override { return world_.ranks; }
  int local_rank() const override { return rank_ % world_.local_size; }
  int local_size() const override { return world_.local_size; }
  const std::string& host_of(int) const override { return world_.host; }
  void note_progress() override {}
  [[noreturn]] void abort(std::string_view reason) override {
    LOG_ERROR("{}", reason);
    std::abort();
  }

  absl::Status barrier(std::string_view) override { return all_gather("").status(); }
  absl::Status broadcast(void* data, size_t bytes, int root) override {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto all, all_gather({static_cast<const char*>(data), bytes}));
    std::memcpy(data, all[static_cast<size_t>(root)].data(), bytes);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> all_gather(std::string_view blob) override {
    const uint64_t round = round_++;
    {
      const std::lock_guard lock(world_.mutex);
      auto& deposits = world_.rounds[round];
      deposits.resize(static_cast<size_t>(world_.ranks));
      deposits[static_cast<size_t>(rank_)] = std::string(blob);
    }
    std::vector<std::string> all;
    LOCKSTEP_RETURN_IF_ERROR(wait_for_others("", [&]() -> absl::StatusOr<bool> {
      const std::lock_guard lock(world_.mutex);
      all.clear();
      for (const auto& deposit : world_.rounds[round]) {
        if (!deposit) return false;
        all.push_back(*deposit);
      }
      return true;
    }));
    return all;
  }

  MessagePort* messages() override { return this; }
  absl::Status send(int to, int tag, const void* data, size_t bytes, MessageRequest* request) override {
    return post({rank_, to, tag}, {data, nullptr, bytes}, world_.sends, request);
  }
  absl::Status receive(int from, int tag, void* data, size_t bytes, MessageRequest* request) override {
    return post({from, rank_, tag}, {nullptr, data, bytes}, world_.receives, request);
  }
  absl::StatusOr<bool> test(MessageRequest* request) override {
    if (!request->active) return true;
    const std::lock_guard lock(world_.mutex);
    if (!(*handle_of(request))->done) return false;
    release(request);
    return true;
  }
  void cancel(MessageRequest* request) override {
    if (!request->active) return;
    const std::lock_guard lock(world_.mutex);
    (*handle_of(request))->withdrawn = true;  // its buffer may go away
    release(request);
  }

 private:
  // The request's share in its end of the message.
  static std::shared_ptr<MessageEnd>* handle_of(MessageRequest* request) {
    return static_cast<std::shared_ptr<MessageEnd>*>(request->handle);
  }
  static void release(MessageRequest* request) {
    delete handle_of(request);
    request->active = false;
  }
  absl::Status post(const World::Key& key, const MessageEnd& end, std::map<World::Key, Queue>& queues,
                    MessageRequest* request) {
    const std::lock_guard lock(world_.mutex);
    auto shared = std::make_shared<MessageEnd>(end);
    queues[key].push_back(shared);
    request->handle = new std::shared_ptr<MessageEnd>(shared);
    request->active = true;
    deliver(world_.sends[key], world_.receives[key]);
    return absl::OkStatus();
  }
  static void deliver(Queue& sends, Queue& receives) {
    for (Queue* queue : {&sends, &receives}) {
      std::erase_if(*queue, [](const std::shared_ptr<MessageEnd>& end) { return end->withdrawn; });
    }
    for (; !sends.empty() && !receives.empty(); sends.pop_front(), receives.pop_front()) {
      LOCKSTEP_CHECK_EQ(sends.front()->bytes, receives.front()->bytes);
      std::memcpy(receives.front()->into, sends.front()->from, sends.front()->bytes);
      sends.front()->done = receives.front()->done = true;
    }
  }

  World& world_;
  const int rank_;
  uint64_t round_ = 0;
};

}  // namespace

void run_thread_ranks(int ranks, int local_size, const std::function<void(Communicator&)>& body) {
  World world(ranks, local_size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&world, &body, rank] {
      ThreadRank communicator(world, rank);
      body(communicator);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace lockstep
