// SPDX-License-Identifier: Apache-2.0
#include "bench/peers.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "bench/peer_process.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace lockstep {
namespace {

struct Peer {
  std::unique_ptr<PeerProcess> process;
  int ranks = 1, threads = 1;
  std::vector<double> images_per_s, ratios;
};

std::vector<std::string> round_flags(const PeerOptions& options, const TrainConfig& config, int threads) {
  return {"--interactive", fmt::format("--train_batch_size={}", config.train_batch_size),
          fmt::format("--threads={}", threads), fmt::format("--steps={}", options.steps_per_round)};
}

absl::StatusOr<std::unique_ptr<PeerProcess>> start_framework(const std::string& name, const PeerOptions& options,
                                                             const TrainConfig& config) {
  const std::string python = join_path(join_path(options.environments, name), "bin/python");
  if (!file_exists(python)) return absl::NotFoundError(fmt::format("no {}: run bench/peers/setup.sh", python));
  std::vector<std::string> command = {python, join_path(options.scripts, name + "_train.py")};
  const auto flags = round_flags(options, config, static_cast<int>(config.threads));
  command.insert(command.end(), flags.begin(), flags.end());
  return PeerProcess::start(command);
}

absl::StatusOr<std::unique_ptr<PeerProcess>> start_ranks(const PeerOptions& options, const TrainConfig& config) {
  // Open MPI refuses to run as root unless both are set.
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
  std::vector<std::string> command = {"mpirun",
                                      "-np",
                                      fmt::format("{}", config.threads),
                                      "--bind-to",
                                      "none",
                                      "--oversubscribe",
                                      std::filesystem::read_symlink("/proc/self/exe").string(),
                                      "train",
                                      "--model",
                                      config.model};
  const auto flags = round_flags(options, config, 1);
  command.insert(command.end(), flags.begin(), flags.end());
  return PeerProcess::start(command);
}

std::vector<Peer> start_peers(const PeerOptions& options, const TrainConfig& config) {
  const int threads = static_cast<int>(config.threads);
  std::vector<Peer> peers;
  const auto add = [&](const std::string& name, int ranks, absl::StatusOr<std::unique_ptr<PeerProcess>> process) {
    if (process.ok()) {
      peers.push_back({std::move(*process), ranks, threads / ranks, {}, {}});
    } else {
      LOG_WARNING("{} is not measured: {}", name, std::string(process.status().message()));
    }
  };
  for (const std::string name : {"tensorflow", "pytorch"}) add(name, 1, start_framework(name, options, config));
  if (threads > 1) add("ranks of one thread", threads, start_ranks(options, config));
  return peers;
}

// One round of ours, in images/s.
absl::StatusOr<double> our_round(const PeerOptions& options, const TrainConfig& config, TrainBench* ours) {
  const auto before = static_cast<std::ptrdiff_t>(ours->step_seconds().size());
  LOCKSTEP_RETURN_IF_ERROR(ours->run(options.steps_per_round));
  const std::vector<double>& seconds = ours->step_seconds();
  const Summary round = summarize({seconds.begin() + before, seconds.end()});
  return static_cast<double>(config.train_batch_size) / round.median;
}

BenchRow peer_row(const Peer& peer, const TrainConfig& config) {
  BenchRow row = BenchRow::here("train", peer.process->name());
  row.shape = fmt::format("batch {}", config.train_batch_size);
  row.ranks = peer.ranks;
  row.threads = peer.threads;
  const Summary speed = summarize(peer.images_per_s);
  row.images_per_s = speed.median;
  row.median_s = static_cast<double>(config.train_batch_size) / speed.median;
  row.spread = speed.spread;
  row.ratio = summarize(peer.ratios).median;
  return row;
}

}  // namespace

absl::StatusOr<std::vector<BenchRow>> measure_against_peers(const PeerOptions& options, const TrainConfig& config,
                                                            TrainBench* ours) {
  std::vector<Peer> peers = start_peers(options, config);
  if (peers.empty()) return absl::NotFoundError("no peer can be run: run bench/peers/setup.sh");
  for (int round = 0; round < options.rounds; ++round) {
    for (Peer& peer : peers) {
      LOCKSTEP_ASSIGN_OR_RETURN(const double our_speed, our_round(options, config, ours));
      LOCKSTEP_ASSIGN_OR_RETURN(const PeerRound theirs, peer.process->measure_round());
      peer.images_per_s.push_back(theirs.images_per_s);
      peer.ratios.push_back(our_speed / theirs.images_per_s);
    }
  }
  std::vector<BenchRow> rows;
  for (const Peer& peer : peers) rows.push_back(peer_row(peer, config));
  return rows;
}

}  // namespace lockstep
