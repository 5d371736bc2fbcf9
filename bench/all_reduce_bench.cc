// SPDX-License-Identifier: Apache-2.0
// mpirun -np N all_reduce_bench [--json]: one exchange of gradients and weights as a training step makes it, without
// the training: ordered reduce-scatter, sum of the terms, all-gather. A row per transport and size.
//
//   algorithm bandwidth = bytes of the gradient / time
//   bus bandwidth       = algorithm bandwidth * 2 * (N - 1) / N
//
// since each rank must receive (N - 1) / N of the bytes to reduce and as much again to gather: a figure to compare over
// N and with the bandwidth of the link. The time of an exchange is that of the slowest rank.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/host_info.h"
#include "core/base/log.h"
#include "mpi/communicator.h"
#include "mpi/grad_reducer.h"

namespace lockstep {
namespace {

constexpr int kWarmUp = 3;
constexpr int kExchanges = 21;
constexpr int64_t kBucketFloats = int64_t{1} << 20;

struct Row {
  std::string transport;
  int ranks = 0;
  int64_t bytes = 0;
  double median_s = 0, fastest_s = 0, slowest_s = 0;

  double algorithm_gb_per_s() const { return static_cast<double>(bytes) / median_s * 1e-9; }
  double bus_gb_per_s() const { return algorithm_gb_per_s() * 2 * (ranks - 1) / ranks; }
};

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

absl::StatusOr<Row> measure(Communicator& communicator, const std::string& transport, int64_t floats) {
  const std::vector<Bucket> buckets = cut_into_buckets(floats);
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reducer,
                            GradReducer::create(communicator, {.transport = transport}, floats, buckets));
  std::vector<double> seconds;
  for (int i = 0; i < kWarmUp + kExchanges; ++i) {
    LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("exchange"));
    const auto start = std::chrono::steady_clock::now();
    LOCKSTEP_RETURN_IF_ERROR(exchange(*reducer, static_cast<int>(buckets.size())));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    LOCKSTEP_ASSIGN_OR_RETURN(const double slowest, slowest_rank(communicator, took.count()));
    if (i >= kWarmUp) seconds.push_back(slowest);
  }
  std::sort(seconds.begin(), seconds.end());
  return Row{std::string(reducer->transport()), communicator.size(), floats * int64_t{sizeof(float)},
             seconds[seconds.size() / 2],       seconds.front(),     seconds.back()};
}

void print(const Row& row, bool json) {
  if (json)
    fmt::print(
        "{{\"bench\": \"all_reduce\", \"transport\": \"{}\", \"ranks\": {}, \"bytes\": {}, \"median_s\": {:.9f}, "
        "\"fastest_s\": {:.9f}, \"slowest_s\": {:.9f}, \"algorithm_gb_per_s\": {:.4f}, \"bus_gb_per_s\": {:.4f}, "
        "\"cpu\": \"{}\"}}\n",
        row.transport, row.ranks, row.bytes, row.median_s, row.fastest_s, row.slowest_s, row.algorithm_gb_per_s(),
        row.bus_gb_per_s(), cpu_model());
  else
    fmt::print("{:<6} {:>5} {:>11} {:>10.1f} {:>10.1f} {:>10.1f} {:>9.2f} {:>9.2f}\n", row.transport, row.ranks,
               row.bytes, row.median_s * 1e6, row.fastest_s * 1e6, row.slowest_s * 1e6, row.algorithm_gb_per_s(),
               row.bus_gb_per_s());
}

absl::Status run(Communicator& communicator, bool json) {
  const bool speaks = communicator.rank() == 0;
  if (speaks && !json)
    fmt::print("{:<6} {:>5} {:>11} {:>10} {:>10} {:>10} {:>9} {:>9}\n", "path", "ranks", "bytes", "median us",
               "fastest", "slowest", "alg GB/s", "bus GB/s");
  const std::vector<std::string> transports =
      communicator.size() == 1 ? std::vector<std::string>{"auto"} : std::vector<std::string>{"shm", "mpi"};
  for (const std::string& transport : transports)
    // The third is the tutorial's network.
    for (const int64_t floats : {int64_t{1024}, int64_t{262144}, int64_t{3274634}, int64_t{1} << 24}) {
      LOCKSTEP_ASSIGN_OR_RETURN(const Row row, measure(communicator, transport, floats));
      if (speaks) print(row, json);
    }
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
