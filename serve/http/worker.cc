// SPDX-License-Identifier: Apache-2.0
#include "serve/http/worker.h"

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/log.h"
#include "serve/http/turn_away.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;

// After which accepting is tried again when the process is out of descriptors.
constexpr milliseconds kAcceptPause{50};

// How often connections are looked at for being overdue: a timer for each would cost every request two changes of it.
milliseconds check_interval(const HttpServerOptions& options) {
  const milliseconds shortest = std::min({options.header_timeout, options.body_timeout, options.idle_timeout,
                                          options.write_timeout, options.request_timeout});
  return std::clamp(shortest / 8, milliseconds(2), milliseconds(100));
}

class AsioWorker : public Worker {
 public:
  explicit AsioWorker(WorkerSettings& settings)
      : settings_(settings),
        io_(1),
        work_(asio::make_work_guard(io_)),
        timer_(io_),
        pause_(io_),
        mailbox_(std::make_shared<AnswerMailbox>([this](Answer answer) { deliver(std::move(answer)); },
                                                 [this] { asio::post(io_, [this] { mailbox_->deliver_all(); }); })),
        context_{settings.options,     settings.handler, settings.counters,
                 settings.is_stopping, mailbox_,         [this](uint64_t id) { remove(id); }} {}

  ~AsioWorker() override { stop(); }

  void run() {
    check_later();
    thread_ = std::thread([this] {
      mailbox_->set_owner(std::this_thread::get_id());
      serve_until_stopped();
      mailbox_->close();  // here: another thread may be given this one's id when this one has ended
    });
  }

  void serve(int socket) override {
    asio::dispatch(io_, [this, socket] {
      if (settings_.counters.connections > settings_.options.max_connections && !make_room()) {
        ++settings_.counters.turned_away;
        turn_away(socket, settings_.tls != nullptr, context_.date.now());
        return forget_connection();
      }
      ++settings_.counters.accepted;
      const uint64_t id = ++last_id_;
      auto connection = std::make_shared<Connection>(context_, id, make_socket_transport(io_, socket, settings_.tls));
      connections_.emplace(id, connection);
      connection->start();
    });
  }

  void watch(int socket, std::function<bool()> ready, std::function<void()> unwatched) override {
    asio::post(io_, [this, socket, ready = std::move(ready), unwatched = std::move(unwatched)] {
      ready_ = ready;
      unwatched_ = unwatched;
      watched_.emplace(io_, socket);
      wait_until_ready();
    });
  }

  void finish() override {
    asio::post(io_, [this] {
      stop_watching();
      for_each_connection([](Connection&) { return true; }, [](Connection& connection) { connection.finish(); });
    });
  }

  void stop() override {
    if (!thread_.joinable()) return;
    asio::post(io_, [this] {
      stop_watching();
      timer_.cancel();
      for_each_connection([](Connection&) { return true; }, [](Connection& connection) { connection.close(); });
      // Then nothing is left to wait for but what was cancelled.
      work_.reset();
    });
    thread_.join();
  }

 private:
  void serve_until_stopped() {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception& error) {
        // Out of memory, most likely for one client. Its connection goes when it is overdue.
        LOG_ERROR("a connection's turn failed: {}", error.what());
      }
    }
  }

  // Calls may close connections, which takes them out of the table.
  template <typename Choose, typename Call>
  void for_each_connection(Choose choose, Call call) {
    std::vector<std::shared_ptr<Connection>> chosen;
    for (const auto& [id, connection] : connections_) {
      if (choose(*connection)) chosen.push_back(connection);
    }
    for (const auto& connection : chosen) call(*connection);
  }

  void deliver(Answer answer) {
    const auto found = connections_.find(answer.connection);
    if (found == connections_.end()) return;  // has gone
    const std::shared_ptr<Connection> connection = found->second;
    connection->answer(answer.request, std::move(answer.response));
  }

  bool make_room() {
    const auto longest =
        std::ranges::min_element(connections_, {}, [](const auto& entry) { return entry.second->waiting_since(); });
    if (longest == connections_.end()) return false;
    if (longest->second->waiting_since() > Connection::Clock::now() - settings_.options.make_room_after) return false;
    ++settings_.counters.made_room;
    const std::shared_ptr<Connection> connection = longest->second;
    connection->close();
    return true;
  }

  void remove(uint64_t id) {
    connections_.erase(id);
    forget_connection();
  }

  void forget_connection() {
    --settings_.counters.connections;
    if (settings_.on_closed) settings_.on_closed();
  }

  void check_later() {
    timer_.expires_after(check_interval(settings_.options));
    timer_.async_wait([this](error_code cancelled) {
      if (cancelled || !work_.owns_work()) return;
      const auto now = Connection::Clock::now();
      for_each_connection([&](const Connection& connection) { return connection.is_overdue(now); },
                          [&](Connection& connection) { connection.check_time(now); });
      check_later();
    });
  }

  void wait_until_ready() {
    watched_->async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code cancelled) {
      if (cancelled || !watched_) return;
      if (ready_()) return wait_until_ready();
      pause_.expires_after(kAcceptPause);
      pause_.async_wait([this](error_code ended) {
        if (!ended && watched_) wait_until_ready();
      });
    });
  }

  void stop_watching() {
    pause_.cancel();
    if (!watched_) return;
    watched_->release();  // the socket is its owner's
    watched_.reset();
    unwatched_();
  }

  WorkerSettings& settings_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::steady_timer timer_, pause_;
  const std::shared_ptr<AnswerMailbox> mailbox_;
  ConnectionContext context_;
  // On the worker's thread only:
  std::unordered_map<uint64_t, std::shared_ptr<Connection>> connections_;
  uint64_t last_id_ = 0;
  std::optional<asio::posix::stream_descriptor> watched_;
  std::function<bool()> ready_;
  std::function<void()> unwatched_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Worker> Worker::start(WorkerSettings& settings) {
  auto worker = std::make_unique<AsioWorker>(settings);
  worker->run();
  return worker;
}

}  // namespace lockstep
