// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "bench/commands.h"
#include "bench/peers.h"
#include "bench/train_bench.h"
#include "core/base/host_info.h"

namespace lockstep {
namespace {

struct TrainOptions {
  TrainConfig config;
  int64_t steps = 100, warmup = 20;
  bool peers = false, interactive = false, phases = true, json = false;
  PeerOptions peer;
};

// Rank 0: true when a line arrives on stdin, false when stdin ends. Other ranks wait meanwhile, hence the signs of
// life.
bool line_arrives(Communicator& communicator) {
  constexpr int kSignOfLifeMs = 200;
  for (;;) {
    pollfd waiting{STDIN_FILENO, POLLIN, 0};
    communicator.note_progress();
    if (::poll(&waiting, 1, kSignOfLifeMs) <= 0) continue;
    char byte = 0;
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got <= 0) return false;
    if (byte == '\n') return true;
  }
}

// The protocol of bench/peers/peer.py, so that another lockstep_bench can compare itself with this job.
absl::Status run_rounds(Communicator& communicator, const TrainOptions& options, TrainBench* bench) {
  const bool speaks = communicator.rank() == 0;
  const auto print = [&](const nlohmann::json& line) {
    if (speaks) fmt::print("{}\n", line.dump());
    std::fflush(stdout);
  };
  print({{"peer", "Lockstep"}});
  for (;;) {
    uint8_t go = 0;
    if (speaks) go = line_arrives(communicator) ? 1 : 0;
    LOCKSTEP_RETURN_IF_ERROR(communicator.broadcast(&go, sizeof(go), 0));
    if (go == 0) return absl::OkStatus();
    bench->discard();
    LOCKSTEP_RETURN_IF_ERROR(bench->run(options.steps));
    const Summary seconds = summarize(bench->step_seconds());
    const auto batch = static_cast<double>(options.config.train_batch_size);
    print({{"images_per_s", batch / seconds.median}, {"best_images_per_s", batch / seconds.best}});
  }
}

absl::Status run_train(TrainOptions options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto communicator, open_communicator({}));
  if (options.config.threads == 0) {
    options.config.threads = std::max(1, available_cores() / communicator->local_size());
  }
  if (options.peers && communicator->size() > 1) {
    return absl::InvalidArgumentError("--peers compares one process with one process: run it without mpirun");
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const auto bench, TrainBench::create(*communicator, options.config));
  LOCKSTEP_RETURN_IF_ERROR(bench->run(options.warmup));
  bench->discard();
  if (options.interactive) return run_rounds(*communicator, options, bench.get());
  std::vector<BenchRow> peer_rows;
  if (options.peers) {
    LOCKSTEP_ASSIGN_OR_RETURN(peer_rows, measure_against_peers(options.peer, options.config, bench.get()));
  } else {
    LOCKSTEP_RETURN_IF_ERROR(bench->run(options.steps));
  }
  LOCKSTEP_RETURN_IF_ERROR(communicator->barrier("the end of the benchmark"));
  if (communicator->rank() != 0) return absl::OkStatus();
  // Measured last, while the other ranks are done: of as many cores as the job had threads on this host.
  const FmaPeak peak = measure_fma_peak(static_cast<int>(options.config.threads) * communicator->local_size());
  std::vector<BenchRow> rows = {bench->step_row(peak)};
  rows.insert(rows.end(), peer_rows.begin(), peer_rows.end());
  if (options.phases) {
    const std::vector<BenchRow> phases = bench->phase_rows(peak);
    rows.insert(rows.end(), phases.begin(), phases.end());
  }
  rows.push_back(to_row(peak));
  print_rows(rows, options.json);
  return absl::OkStatus();
}

}  // namespace

void add_train_command(CLI::App* app, absl::Status* status) {
  auto options = std::make_shared<TrainOptions>();
  TrainConfig& config = options->config;
  CLI::App* command = app->add_subcommand(
      "train", "Training step of a network: images/s, GFLOP/s, per cent of peak, per phase; also under mpirun");
  command->add_option("--model", config.model, "Network description")->capture_default_str();
  command->add_option("--train_batch_size", config.train_batch_size, "Images per step, over all ranks")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--threads", config.threads, "Threads per rank; 0 shares the cores among the ranks")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command->add_option("--steps", options->steps, "Measured steps; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--warmup", options->warmup, "Steps before them")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--device", config.device, "cpu, cuda, or auto")->capture_default_str();
  command->add_option("--backend", config.backend, "auto; simd or ref on a CPU, cuda or cudnn on a GPU")
      ->capture_default_str();
  command->add_option("--precision", config.precision, "fp32, tf32 or bf16 on a GPU")->capture_default_str();
  command->add_option("--collective", config.collective, "ordered, or nccl between GPUs")->capture_default_str();
  command->add_option("--cuda_graph", config.cuda_graph, "Launch a GPU's step as one graph")->capture_default_str();
  command->add_option("--seed", config.seed, "Seed of weights, images and dropout")->capture_default_str();
  command->add_flag("--phases,!--no_phases", options->phases, "Also the parts of a step")->default_str("true");
  command->add_flag("--interactive", options->interactive,
                    "One round of --steps per line on stdin, for another process");
  command->add_flag("--peers", options->peers, "Alternate with TensorFlow and PyTorch (bench/peers/setup.sh)");
  command->add_option("--rounds", options->peer.rounds, "Rounds with --peers")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--round_steps", options->peer.steps_per_round, "Steps per round with --peers")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  command->add_flag("--json", options->json, "Lines of JSON");
  command->callback([options, status] { *status = run_train(*options); });
}

}  // namespace lockstep
