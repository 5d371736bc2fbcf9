// SPDX-License-Identifier: Apache-2.0
// mpirun -np N lockstep_bench gpu_all_reduce: the gradients of a step, reduced between N GPUs, one a rank: our ordered
// exchange (grouped sends and receives of partial sums, then an all-gather of the weights) against plain ncclAllReduce.
// Adam, which stands between the two halves of the ordered one, is left out of both.
//
// GB/s are bus bandwidth as nccl-tests define it (doc/PERFORMANCE.md there): with S bytes of gradient and t seconds,
//   algbw = S / t,   busbw = algbw * 2 * (N - 1) / N,
// since each rank must receive (N - 1) / N of S to reduce and as much again to gather. It compares with the speed of a
// link for any N. The ordered exchange is held to the same S, although a rank whose slices are no aligned subtree sends
// more than one partial sum. t is the slowest rank's, by the events of its GPU.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bench/bench_row.h"
#include "bench/commands.h"
#include "bench/gpu_session.h"
#include "bench/kernel_check.h"
#include "core/base/slice_tree.h"
#include "core/train/accelerator.h"
#include "core/train/agree.h"
#include "mpi/device_grad_reducer.h"
#include "mpi/transports.h"

namespace lockstep {
namespace {

constexpr int kSlices = 8;
constexpr int64_t kBucketFloats = int64_t{1} << 20;

struct AllReduceOptions {
  std::vector<int64_t> sizes{1 << 10, 1 << 18, 3274634, 1 << 24, 1 << 26};  // the third: the tutorial's network
  int runs = 21, warmup = 3;
  bool json = false;
};

// Slice s contributes (s + 1) * (i % 7 + 1) to element i: small whole numbers, whose sums are exact in any order, and a
// different one from each slice. What weights start with differs from rank to rank.
float element(int64_t i) { return static_cast<float>(i % 7 + 1); }
float weight(int64_t i, int rank) { return element(i) + static_cast<float>(16 * rank); }
constexpr float kSum = kSlices * (kSlices + 1) / 2;

class Exchange {
 public:
  static absl::StatusOr<std::unique_ptr<Exchange>> create(Communicator& communicator, Accelerator& accelerator,
                                                          bool ordered, int64_t floats) {
    std::unique_ptr<Exchange> made(new Exchange(communicator, *accelerator.device, floats));
    for (int64_t at = 0; at < floats; at += kBucketFloats) {
      made->buckets_.push_back({at, std::min(kBucketFloats, floats - at)});
    }
    Device& device = made->device_;
    LOCKSTEP_RETURN_IF_ERROR(agree(communicator, made->make_handles()));
    const GradReducerOptions options{.grad_slices = kSlices, .transport = "nccl"};
    LOCKSTEP_ASSIGN_OR_RETURN(GradPlan plan, agree_on_grad_plan(communicator, options, floats, made->buckets_));
    auto reducer =
        accelerator.make_nccl_reducer()(communicator, std::move(plan), device, made->stream_, {.ordered = ordered});
    LOCKSTEP_RETURN_IF_ERROR(agree(communicator, reducer.status()));
    made->reducer_ = *std::move(reducer);
    made->ordered_ = ordered;
    return made;
  }
  ~Exchange() {
    reducer_.reset();
    device_.destroy(begin_);
    device_.destroy(end_);
    device_.destroy(stream_);
  }

  std::string_view transport() const { return reducer_->transport(); }

  // Gradients and weights as they are before an exchange.
  absl::Status fill() {
    const SliceRange mine = slices_of_rank(communicator_.rank(), communicator_.size(), kSlices);
    std::vector<int> subtrees = aligned_subtrees(mine);
    if (!ordered_) subtrees = {mine.count};
    float* sum = reducer_->gradients();
    int slice = mine.first;
    for (const int slices : subtrees) {
      float factor = 0;
      for (const int end = slice + slices; slice < end; ++slice) factor += static_cast<float>(slice + 1);
      LOCKSTEP_RETURN_IF_ERROR(upload([&](int64_t i) { return factor * element(i); }, sum));
      sum += reducer_->gradient_stride();
    }
    return upload([&](int64_t i) { return weight(i, communicator_.rank()); }, reducer_->weights());
  }

  // Its seconds on this rank.
  absl::StatusOr<double> run() {
    LOCKSTEP_RETURN_IF_ERROR(device_.record(begin_, stream_));
    for (size_t b = 0; b < buckets_.size(); ++b) {
      LOCKSTEP_RETURN_IF_ERROR(reducer_->reduce_scatter(static_cast<int>(b)));
      LOCKSTEP_RETURN_IF_ERROR(reducer_->all_gather(static_cast<int>(b)));
    }
    LOCKSTEP_RETURN_IF_ERROR(device_.record(end_, stream_));
    LOCKSTEP_RETURN_IF_ERROR(wait());
    return device_.seconds_between(begin_, end_);
  }

  // After fill() and one run(): my shard's terms add up to the gradient, and all weights are their owners'.
  absl::Status check() {
    for (size_t b = 0; b < buckets_.size(); ++b) {
      LOCKSTEP_RETURN_IF_ERROR(check_terms(reducer_->shard(static_cast<int>(b))));
      if (ordered_) LOCKSTEP_RETURN_IF_ERROR(check_weights(static_cast<int>(b)));
    }
    return absl::OkStatus();
  }

 private:
  Exchange(Communicator& communicator, Device& device, int64_t floats)
      : communicator_(communicator), device_(device), floats_(floats) {}

  absl::Status make_handles() {
    LOCKSTEP_ASSIGN_OR_RETURN(stream_, device_.create_stream());
    LOCKSTEP_ASSIGN_OR_RETURN(begin_, device_.create_timed_event());
    LOCKSTEP_ASSIGN_OR_RETURN(end_, device_.create_timed_event());
    return absl::OkStatus();
  }

  template <typename Value>
  absl::Status upload(const Value& value, float* to) {
    std::vector<float> values(static_cast<size_t>(floats_));
    for (int64_t i = 0; i < floats_; ++i) values[static_cast<size_t>(i)] = value(i);
    LOCKSTEP_RETURN_IF_ERROR(device_.copy(to, values.data(), values.size() * sizeof(float), stream_));
    return device_.synchronize(stream_);
  }
  absl::StatusOr<std::vector<float>> download(const float* from, int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    LOCKSTEP_RETURN_IF_ERROR(device_.copy(values.data(), from, values.size() * sizeof(float), stream_));
    LOCKSTEP_RETURN_IF_ERROR(device_.synchronize(stream_));
    return values;
  }

  // Without a sign of life: the watchdogs end a job in which this takes too long.
  absl::Status wait() {
    for (;;) {
      LOCKSTEP_ASSIGN_OR_RETURN(const bool done, device_.happened(end_));
      if (done) return absl::OkStatus();
      LOCKSTEP_RETURN_IF_ERROR(reducer_->check());
    }
  }

  absl::Status check_terms(const Shard& shard) {
    const int64_t count = shard.end - shard.begin;
    std::vector<float> expected(static_cast<size_t>(count)), sum(expected.size());
    for (size_t i = 0; i < sum.size(); ++i) expected[i] = kSum * element(shard.begin + static_cast<int64_t>(i));
    for (const ShardTerm& term : shard.terms) {
      LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<float> values, download(term.data, count));
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
    }
    return annotate(check_close(expected, sum, 0), "sums of gradients");
  }

  absl::Status check_weights(int bucket) {
    for (int rank = 0; rank < communicator_.size(); ++rank) {
      const Bucket shard = reducer_->shard_of(bucket, rank);
      std::vector<float> expected(static_cast<size_t>(shard.size));
      for (size_t i = 0; i < expected.size(); ++i) {
        expected[i] = weight(shard.offset + static_cast<int64_t>(i), rank);
      }
      LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<float> got, download(reducer_->weights() + shard.offset, shard.size));
      LOCKSTEP_RETURN_IF_ERROR(annotate(check_close(expected, got, 0), fmt::format("weights of rank {}", rank)));
    }
    return absl::OkStatus();
  }

  Communicator& communicator_;
  Device& device_;
  const int64_t floats_;
  bool ordered_ = true;
  std::vector<Bucket> buckets_;
  DeviceStream stream_;
  DeviceEvent begin_, end_;
  std::unique_ptr<DeviceGradReducer> reducer_;
};

absl::StatusOr<double> slowest_rank(Communicator& communicator, double seconds) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto all,
                            communicator.all_gather({reinterpret_cast<const char*>(&seconds), sizeof(seconds)}));
  for (const std::string& blob : all) {
    double theirs = 0;
    std::memcpy(&theirs, blob.data(), sizeof(theirs));
    seconds = std::max(seconds, theirs);
  }
  return seconds;
}

absl::StatusOr<BenchRow> measure(Communicator& communicator, Accelerator& accelerator, bool ordered, int64_t floats,
                                 const AllReduceOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto exchange, Exchange::create(communicator, accelerator, ordered, floats));
  BenchRow row = BenchRow::here("gpu all-reduce", ordered ? "ordered" : "plain");
  row.cpu = fmt::format("{} in {}", accelerator.device->name(), row.cpu);
  row.backend = exchange->transport();
  row.shape = fmt::format("{} floats", floats);
  row.ranks = communicator.size();
  LOCKSTEP_RETURN_IF_ERROR(agree(communicator, exchange->fill()));
  LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("the first exchange"));
  LOCKSTEP_RETURN_IF_ERROR(exchange->run().status());
  const absl::Status right = agree(communicator, exchange->check());
  if (!right.ok()) {
    row.fail(std::string(right.message()));
    return row;
  }
  std::vector<double> seconds;
  for (int i = 0; i < options.warmup + options.runs; ++i) {
    LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("exchange"));
    LOCKSTEP_ASSIGN_OR_RETURN(const double mine, exchange->run());
    LOCKSTEP_ASSIGN_OR_RETURN(const double slowest, slowest_rank(communicator, mine));
    if (i >= options.warmup) seconds.push_back(slowest);
  }
  if (accelerator.library->emulated) return row;
  row.set_time(summarize(seconds));
  const double ranks = communicator.size();
  const double algorithm = static_cast<double>(floats) * sizeof(float) / row.median_s;
  row.gbytes_per_s = algorithm * 2 * (ranks - 1) / ranks * 1e-9;
  return row;
}

absl::StatusOr<std::vector<BenchRow>> measure_all(Communicator& communicator, Accelerator& accelerator,
                                                  const AllReduceOptions& options) {
  std::vector<BenchRow> rows;
  for (const int64_t floats : options.sizes) {
    LOCKSTEP_ASSIGN_OR_RETURN(const BenchRow ours, measure(communicator, accelerator, true, floats, options));
    LOCKSTEP_ASSIGN_OR_RETURN(BenchRow plain, measure(communicator, accelerator, false, floats, options));
    if (plain.median_s > 0 && ours.median_s > 0) plain.ratio = plain.median_s / ours.median_s;
    rows.push_back(ours);
    rows.push_back(plain);
  }
  LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("the end of the benchmark"));
  return rows;
}

absl::Status run_all_reduce(const AllReduceOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto communicator, open_communicator({}));
  const bool speaks = communicator->rank() == 0;
  TrainConfig config;
  config.device = "cuda";
  const auto accelerator = open_accelerator(*communicator, &config);
  if (!accelerator.ok()) return speaks ? not_run(accelerator.status()) : absl::OkStatus();
  if (communicator->size() == 1) return not_run(absl::FailedPreconditionError("one GPU alone: start it under mpirun"));
  const auto rows = measure_all(*communicator, **accelerator, options);
  if (!rows.ok() && !is_agreed(rows.status())) communicator->abort(std::string(rows.status().message()));
  LOCKSTEP_RETURN_IF_ERROR(rows.status());
  if (!speaks) return absl::OkStatus();
  print_rows(*rows, options.json);
  return failures_of(*rows);
}

}  // namespace

void add_gpu_all_reduce_command(CLI::App* app, absl::Status* status) {
  auto options = std::make_shared<AllReduceOptions>();
  CLI::App* command = app->add_subcommand(
      "gpu_all_reduce", "Bus bandwidth of the ordered exchange between GPUs, and of NCCL's all-reduce; under mpirun");
  command->add_option("--floats", options->sizes, "Sizes of the gradient")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  command->add_option("--runs", options->runs, "Measured exchanges; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  command->add_option("--warmup", options->warmup, "Exchanges before them")
      ->capture_default_str()
      ->check(CLI::Range(0, 10'000));
  command->add_flag("--json", options->json, "Lines of JSON");
  command->callback([options, status] { *status = run_all_reduce(*options); });
}

}  // namespace lockstep
