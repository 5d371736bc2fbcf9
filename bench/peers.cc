// SPDX-License-Identifier: Apache-2.0
#include "bench/peers.h"

#include <fmt/format.h>

#include "bench/peer_process.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace lockstep {
namespace {

struct Peer {
  std::unique_ptr<PeerProcess> process;
  std::vector<double> images_per_s, ratios;
};

absl::StatusOr<std::unique_ptr<PeerProcess>> start_peer(const std::string& name, const PeerOptions& options,
                                                        const TrainConfig& config) {
  const std::string python = join_path(join_path(options.environments, name), "bin/python");
  if (!file_exists(python)) return absl::NotFoundError(fmt::format("no {}: run bench/peers/setup.sh", python));
  return PeerProcess::start({python, join_path(options.scripts, name + "_train.py"), "--interactive",
                             fmt::format("--train_batch_size={}", config.train_batch_size),
                             fmt::format("--threads={}", config.threads),
                             fmt::format("--steps={}", options.steps_per_round)});
}

std::vector<Peer> start_peers(const PeerOptions& options, const TrainConfig& config) {
  std::vector<Peer> peers;
  for (const std::string name : {"tensorflow", "pytorch"}) {
    absl::StatusOr<std::unique_ptr<PeerProcess>> process = start_peer(name, options, config);
    if (process.ok()) {
      peers.push_back({std::move(*process), {}, {}});
    } else {
      LOG_WARNING("{} is not measured: {}", name, std::string(process.status().message()));
    }
  }
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
  row.backend = "peer";
  row.shape = fmt::format("batch {}", config.train_batch_size);
  row.threads = static_cast<int>(config.threads);
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
