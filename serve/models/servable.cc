// SPDX-License-Identifier: Apache-2.0
#include "serve/models/servable.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "core/base/log.h"
#include "core/nn/trained_model.h"
#include "serve/predictor.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

int64_t microseconds(Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

// Reading and checking a file must not take time from those who are being answered: it has a low priority, which is
// this thread's own under Linux. Not the lowest, whose share beside busy threads is a sixtieth: a new version would
// take as many times longer to come.
absl::StatusOr<TrainedModel> load_in_background(const std::string& path, const std::function<absl::Status()>& verify) {
  absl::StatusOr<TrainedModel> model = absl::UnknownError("not loaded");
  std::thread([&] {
    constexpr int kLowPriority = 10;
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLowPriority);
    const absl::Status sound = verify ? verify() : absl::OkStatus();
    model = sound.ok() ? load_trained_model(path) : sound;
  }).join();
  return model;
}

// A request in the queue, or in passes.
struct Pending {
  PredictTask task;
  PredictAnswer answer;
  Clock::time_point queued;
  int64_t begun = 0;    // examples that are done, or in the pass that runs
  absl::Status failed;  // of any of its passes
};

// The part of a request that is in a pass.
struct Piece {
  std::shared_ptr<Pending> request;
  int64_t first = 0, examples = 0;  // of the request
};

// What the thread that runs the model shares with the servable: it may outlive it by the end of its last callback.
class Worker {
 public:
  Worker(const ServableOptions& options, int64_t input_size) : options_(options), input_size_(input_size) {}

  // On the worker's own thread, until stop() and an empty queue. The predictor is made here: operators keep working
  // memory for each thread, and the thread pool belongs to the one that made it.
  void run(std::shared_ptr<const TrainedModel> model) {
    auto predictor = Predictor::create(std::move(model), {options_.max_batch_size, options_.threads});
    {
      const std::lock_guard lock(mutex_);
      started_ = predictor.status();
      classes_ = predictor.ok() ? (*predictor)->classes() : 0;
      is_started_ = true;
    }
    changed_.notify_all();
    if (!predictor.ok()) return;
    std::vector<Piece> pieces;
    while (take(pieces)) run_pass(**predictor, pieces);
  }

  absl::Status wait_until_started() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_started_; });
    return started_;
  }
  int classes() const { return classes_; }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
  }

  void add(PredictTask task) {
    auto request = std::make_shared<Pending>();
    request->task = std::move(task);
    request->queued = Clock::now();
    if (enqueue(request)) {
      changed_.notify_one();
    } else {
      request->task.done(absl::UnavailableError(
          fmt::format("the queue is full (at most {} examples wait): try again later", options_.max_queue_examples)));
    }
  }

  int64_t running() const { return running_.load(std::memory_order_relaxed); }

 private:
  // False when there is no room. A request larger than the whole queue is taken when it is alone.
  bool enqueue(const std::shared_ptr<Pending>& request) {
    const std::lock_guard lock(mutex_);
    const int64_t waiting = waiting_examples_ + request->task.examples;
    if (waiting > options_.max_queue_examples && waiting_examples_ > 0) return false;
    waiting_examples_ = waiting;
    running_.fetch_add(1, std::memory_order_relaxed);
    queue_.push_back(request);
    return true;
  }

  // Waits for requests and takes what fits into one pass. False at the end.
  bool take(std::vector<Piece>& pieces) {
    pieces.clear();
    while (pieces.empty()) {
      std::vector<std::shared_ptr<Pending>> late;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return false;
        fill(pieces, late);
      }
      for (const auto& request : late) {
        finish(*request,
               absl::DeadlineExceededError(fmt::format(
                   "the deadline passed after {} ms in the queue",
                   std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - request->queued).count())));
      }
    }
    return true;
  }

  // Under the lock. What does not fit of a large request goes to the end of the queue, so that those who came after it
  // wait for one pass of it, not for all.
  void fill(std::vector<Piece>& pieces, std::vector<std::shared_ptr<Pending>>& late) {
    const Clock::time_point now = Clock::now();
    int64_t space = options_.max_batch_size;
    while (space > 0 && !queue_.empty()) {
      const std::shared_ptr<Pending> request = queue_.front();
      const int64_t left = request->task.examples - request->begun;
      if (request->begun == 0) {
        if (request->task.deadline <= now) {
          waiting_examples_ -= left;
          late.push_back(request);
          queue_.pop_front();
          continue;
        }
        request->answer.times.queue_us = microseconds(now - request->queued);
      }
      const int64_t taken = std::min(space, left);
      pieces.push_back({request, request->begun, taken});
      request->begun += taken;
      waiting_examples_ -= taken;
      space -= taken;
      queue_.pop_front();
      if (taken < left) queue_.push_back(request);
    }
  }

  void run_pass(Predictor& predictor, const std::vector<Piece>& pieces) {
    const Clock::time_point start = Clock::now();
    const int64_t examples = gather(pieces);
    batch_classes_.resize(static_cast<size_t>(examples));
    probabilities_.resize(static_cast<size_t>(examples * classes_));
    const absl::Status status = predictor.predict(examples, inputs_, batch_classes_.data(), probabilities_.data());
    const int64_t run_us = microseconds(Clock::now() - start);
    int64_t at = 0;
    for (const Piece& piece : pieces) {
      PredictAnswer& answer = piece.request->answer;
      answer.classes.insert(answer.classes.end(), batch_classes_.begin() + at,
                            batch_classes_.begin() + at + piece.examples);
      answer.probabilities.insert(answer.probabilities.end(), probabilities_.begin() + at * classes_,
                                  probabilities_.begin() + (at + piece.examples) * classes_);
      answer.times.run_us += run_us;
      answer.times.batch_examples = examples;
      at += piece.examples;
      piece.request->failed.Update(status);
      const auto done = static_cast<int64_t>(answer.classes.size());
      if (done == piece.request->task.examples) finish(*piece.request, piece.request->failed);
    }
  }

  // Points inputs_ to the examples of the pass, one behind the other; a piece that is alone need not be copied.
  int64_t gather(const std::vector<Piece>& pieces) {
    if (pieces.size() == 1) {
      inputs_ = pieces[0].request->task.inputs.data() + pieces[0].first * input_size_;
      return pieces[0].examples;
    }
    gathered_.clear();
    int64_t examples = 0;
    for (const Piece& piece : pieces) {
      const auto from = piece.request->task.inputs.begin() + piece.first * input_size_;
      gathered_.insert(gathered_.end(), from, from + piece.examples * input_size_);
      examples += piece.examples;
    }
    inputs_ = gathered_.data();
    return examples;
  }

  void finish(Pending& request, const absl::Status& status) {
    if (status.ok()) {
      request.task.done(std::move(request.answer));
    } else {
      request.task.done(status);
    }
    request.task.done = nullptr;  // and whatever it holds
    running_.fetch_sub(1, std::memory_order_relaxed);
  }

  const ServableOptions options_;
  const int64_t input_size_;
  std::atomic<int64_t> running_{0};

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Pending>> queue_;
  int64_t waiting_examples_ = 0;
  bool stopping_ = false, is_started_ = false;
  absl::Status started_;

  // Of the worker's thread.
  int classes_ = 0;
  const float* inputs_ = nullptr;
  std::vector<float> gathered_, probabilities_;
  std::vector<int64_t> batch_classes_;
};

class BatchingServable : public Servable {
 public:
  BatchingServable(ServableId id, std::string path, std::shared_ptr<const TrainedModel> model,
                   const ServableOptions& options)
      : id_(std::move(id)),
        path_(std::move(path)),
        model_(std::move(model)),
        worker_(std::make_shared<Worker>(options, input().size())) {
    thread_ = std::thread([worker = worker_, trained = model_] { worker->run(trained); });
  }

  ~BatchingServable() override {
    worker_->stop();
    // The last reference may go with the last callback, on the worker's own thread, which ends by itself then.
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }

  absl::Status wait_until_started() { return worker_->wait_until_started(); }

  const ServableId& id() const override { return id_; }
  const std::string& path() const override { return path_; }
  ImageShape input() const override { return {model_->config.height, model_->config.width, model_->config.depth}; }
  int classes() const override { return worker_->classes(); }
  const ModelConfig& config() const override { return model_->config; }
  int64_t global_step() const override { return model_->global_step; }
  int64_t running() const override { return worker_->running(); }

  void predict(PredictTask task) override {
    const int64_t size = input().size();
    if (task.examples < 1 || static_cast<int64_t>(task.inputs.size()) != task.examples * size) {
      task.done(absl::InvalidArgumentError(
          fmt::format("{} numbers for {} examples: expected {} an example, and at least one example",
                      task.inputs.size(), task.examples, size)));
      return;
    }
    // The last reference to this servable may go with the task's callback, before add() has come back.
    const std::shared_ptr<Worker> worker = worker_;
    worker->add(std::move(task));
  }

 private:
  const ServableId id_;
  const std::string path_;
  const std::shared_ptr<const TrainedModel> model_;
  const std::shared_ptr<Worker> worker_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Servable>> Servable::load(const ServableId& id, const std::string& path,
                                                         const ServableOptions& options,
                                                         const std::function<absl::Status()>& verify) {
  LOCKSTEP_ASSIGN_OR_RETURN(TrainedModel model, load_in_background(path, verify));
  for (const std::string& warning : model.warnings) LOG_WARNING("{}", warning);
  auto servable =
      std::make_shared<BatchingServable>(id, path, std::make_shared<const TrainedModel>(std::move(model)), options);
  LOCKSTEP_RETURN_IF_ERROR(servable->wait_until_started());
  return servable;
}

}  // namespace lockstep
