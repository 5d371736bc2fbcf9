// SPDX-License-Identifier: Apache-2.0
// mpirun -np N all_reduce_bench [--json]: one exchange of gradients and weights as a training step makes it, without
// the training: ordered reduce-scatter, sum of the terms, all-gather. A row per transport and size.
//
// GB/s are bytes of the gradient by time. Times 2 * (N - 1) / N it is the bandwidth of the link, since each rank must
// receive (N - 1) / N of the bytes to reduce and as much again to gather. The time of an exchange is that of the
// slowest rank. The first exchange of each row is checked: a wrong sum ends the job.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "bench/bench_row.h"
#include "core/base/log.h"
#include "core/base/slice_tree.h"
#include "mpi/communicator.h"
#include "mpi/grad_reducer.h"

namespace lockstep {
namespace {

constexpr int kWarmUp = 3;
constexpr int kExchanges = 21;
constexpr int64_t kBucketFloats = int64_t{1} << 20;

std::vector<Bucket> cut_into_buckets(int64_t floats) {
  std::vector<Bucket> buckets;
  for (int64_t at = 0; at < floats; at += kBucketFloats) buckets.push_back({at, std::min(kBucketFloats, floats - at)});
  return buckets;
}

void add_terms(const Shard& shard, float* sum) {
  const auto count = static_cast<size_t>(shard.end - shard.begin);
  std::memcpy(sum, shard.terms[0].data, count * sizeof(float));
  for (size_t t = 1; t < shard.terms.size(); ++t)
    for (size_t i = 0; i < count; ++i) sum[i] += shard.terms[t].data[i];
}

absl::Status exchange(GradReducer& reducer, int buckets) {
  reducer.begin_step(0);
  for (int b = 0; b < buckets; ++b) LOCKSTEP_RETURN_IF_ERROR(reducer.start_reduce_scatter(b));
  for (int b = 0; b < buckets; ++b) {
    LOCKSTEP_ASSIGN_OR_RETURN(const Shard shard, reducer.wait_reduce_scatter(b));
    add_terms(shard, reducer.weights() + shard.begin);
    LOCKSTEP_RETURN_IF_ERROR(reducer.start_all_gather(b));
  }
  for (int b = 0; b < buckets; ++b) LOCKSTEP_RETURN_IF_ERROR(reducer.wait_all_gather(b));
  return absl::OkStatus();
}

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

// Slice s contributes (s + 1) * (i % 7 + 1) to element i: small whole numbers, whose sums are exact in any order, and a
// different one from each slice.
constexpr int kSlices = 8;
float element(int64_t i) { return static_cast<float>(i % 7 + 1); }

void fill_gradients(const Communicator& communicator, int64_t floats, GradReducer* reducer) {
  const SliceRange mine = slices_of_rank(communicator.rank(), communicator.size(), kSlices);
  float* sum = reducer->gradients();
  int slice = mine.first;
  for (const int slices : aligned_subtrees(mine)) {
    float weight = 0;
    for (const int end = slice + slices; slice < end; ++slice) weight += static_cast<float>(slice + 1);
    for (int64_t i = 0; i < floats; ++i) sum[i] = weight * element(i);
    sum += reducer->gradient_stride();
  }
}

// After an exchange every rank holds all sums.
absl::Status check_weights(int64_t floats, const float* weights) {
  constexpr float kSum = kSlices * (kSlices + 1) / 2;
  for (int64_t i = 0; i < floats; ++i) {
    if (weights[i] == kSum * element(i)) continue;
    return absl::DataLossError(fmt::format("FAILED: element {} of {} after an exchange: expected {}, found {}", i,
                                           floats, kSum * element(i), weights[i]));
  }
  return absl::OkStatus();
}

absl::StatusOr<BenchRow> measure(Communicator& communicator, const std::string& transport, int64_t floats) {
  const std::vector<Bucket> buckets = cut_into_buckets(floats);
  LOCKSTEP_ASSIGN_OR_RETURN(
      const auto reducer,
      GradReducer::create(communicator, {.grad_slices = kSlices, .transport = transport}, floats, buckets));
  fill_gradients(communicator, floats, reducer.get());
  std::vector<double> seconds;
  for (int i = 0; i < kWarmUp + kExchanges; ++i) {
    LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("exchange"));
    const auto start = std::chrono::steady_clock::now();
    LOCKSTEP_RETURN_IF_ERROR(exchange(*reducer, static_cast<int>(buckets.size())));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i == 0) LOCKSTEP_RETURN_IF_ERROR(check_weights(floats, reducer->weights()));
    LOCKSTEP_ASSIGN_OR_RETURN(const double slowest, slowest_rank(communicator, took.count()));
    if (i >= kWarmUp) seconds.push_back(slowest);
  }
  BenchRow row = BenchRow::here("all-reduce", "exchange");
  row.backend = reducer->transport();
  row.shape = fmt::format("{} floats", floats);
  row.ranks = communicator.size();
  row.set_time(summarize(seconds));
  row.gbytes_per_s = static_cast<double>(floats) * sizeof(float) / row.median_s * 1e-9;
  return row;
}

absl::Status run(Communicator& communicator, bool json) {
  const std::vector<std::string> transports =
      communicator.size() == 1 ? std::vector<std::string>{"auto"} : std::vector<std::string>{"shm", "mpi"};
  std::vector<BenchRow> rows;
  for (const std::string& transport : transports)
    // The third is the tutorial's network.
    for (const int64_t floats : {int64_t{1024}, int64_t{262144}, int64_t{3274634}, int64_t{1} << 24}) {
      LOCKSTEP_ASSIGN_OR_RETURN(rows.emplace_back(), measure(communicator, transport, floats));
    }
  if (communicator.rank() == 0) print_rows(rows, json);
  return absl::OkStatus();
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  const bool json = argc == 2 && std::string(argv[1]) == "--json";
  if (argc > 2 || (argc == 2 && !json)) {
    std::fprintf(stderr, "usage: mpirun -np N all_reduce_bench [--json]\n");
    return 2;
  }
  auto communicator = lockstep::open_communicator({});
  if (!communicator.ok()) {
    std::fprintf(stderr, "%s\n", std::string(communicator.status().message()).c_str());
    return 1;
  }
  lockstep::init_logging((*communicator)->rank());
  const absl::Status status = lockstep::run(**communicator, json);
  if (!status.ok()) (*communicator)->abort(std::string(status.message()));
  return 0;
}
