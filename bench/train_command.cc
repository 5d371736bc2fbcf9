// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "bench/commands.h"
#include "bench/gpu_peak.h"
#include "bench/gpu_session.h"
#include "bench/peers.h"
#include "bench/train_bench.h"
#include "core/base/host_info.h"

namespace lockstep {
namespace {

struct TrainOptions {
  TrainConfig config;
  std::vector<int64_t> batches{TrainConfig().train_batch_size};
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
    const auto batch = static_cast<double>(options.batches.front());
    print({{"images_per_s", batch / seconds.median}, {"best_images_per_s", batch / seconds.best}});
  }
}

// A GPU that is asked for but not there is no error of a benchmark; anything else is found later.
absl::Status find_gpu(Communicator& communicator, const TrainConfig& config) {
  if (config.device != "cuda") return absl::OkStatus();
  TrainConfig probed = config;
  return open_accelerator(communicator, &probed).status();
}

absl::Status check_options(const Communicator& communicator, const TrainOptions& options) {
  if (options.peers && communicator.size() > 1) {
    return absl::InvalidArgumentError("--peers compares one process with one process: run it without mpirun");
  }
  if (options.batches.size() > 1 && (options.peers || options.interactive)) {
    return absl::InvalidArgumentError("--peers and --interactive measure one --train_batch_size");
  }
  return absl::OkStatus();
}

// Steps alone, in a row that has failed where they do not train.
absl::StatusOr<BenchRow> measure_step(TrainBench& bench, const TrainOptions& options) {
  LOCKSTEP_RETURN_IF_ERROR(bench.run_steps(options.warmup));
  bench.discard();
  LOCKSTEP_RETURN_IF_ERROR(bench.run_steps(options.steps));
  const absl::Status trained = bench.check_trained();
  BenchRow row = bench.step_row({});
  if (!trained.ok()) row.fail(std::string(trained.message()));
  return row;
}

// A row per batch. Rank 0 then measures its GPU's ceilings, while the others are done.
absl::StatusOr<std::vector<BenchRow>> train_on_gpus(Communicator& communicator, const TrainOptions& options) {
  std::vector<BenchRow> rows;
  for (const int64_t batch : options.batches) {
    TrainConfig config = options.config;
    config.train_batch_size = batch;
    LOCKSTEP_ASSIGN_OR_RETURN(const auto bench, TrainBench::create(communicator, config));
    LOCKSTEP_ASSIGN_OR_RETURN(rows.emplace_back(), measure_step(*bench, options));
  }
  LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("the end of the benchmark"));
  if (communicator.rank() != 0) return std::vector<BenchRow>();
  LOCKSTEP_ASSIGN_OR_RETURN(const auto session, GpuSession::open());
  LOCKSTEP_ASSIGN_OR_RETURN(const GpuPeaks peaks, measure_gpu_peaks(*session));
  const std::optional<double> peak = peaks.flops(options.config.precision);
  for (BenchRow& row : rows) {
    row.cpu = session->row("", "").cpu;
    if (peak && row.gflops) row.percent_of_peak = 100 * *row.gflops * 1e9 / (*peak * communicator.size());
  }
  rows.insert(rows.end(), peaks.rows.begin(), peaks.rows.end());
  return rows;
}

absl::StatusOr<std::vector<BenchRow>> train_on_cpu(Communicator& communicator, const TrainOptions& options) {
  std::vector<BenchRow> rows;
  for (const int64_t batch : options.batches) {
    TrainConfig config = options.config;
    config.train_batch_size = batch;
    LOCKSTEP_ASSIGN_OR_RETURN(const auto bench, TrainBench::create(communicator, config));
    LOCKSTEP_RETURN_IF_ERROR(bench->run(options.warmup));
    bench->discard();
    if (options.interactive) {
      LOCKSTEP_RETURN_IF_ERROR(run_rounds(communicator, options, bench.get()));
      return rows;
    }
    std::vector<BenchRow> peer_rows;
    if (options.peers) {
      LOCKSTEP_ASSIGN_OR_RETURN(peer_rows, measure_against_peers(options.peer, config, bench.get()));
    } else {
      LOCKSTEP_RETURN_IF_ERROR(bench->run(options.steps));
    }
    LOCKSTEP_RETURN_IF_ERROR(communicator.barrier("the end of the benchmark"));
    if (communicator.rank() != 0) continue;
    // Measured last, while the other ranks are done: of as many cores as the job had threads on this host.
    const FmaPeak peak = measure_fma_peak(static_cast<int>(config.threads) * communicator.local_size());
    rows.push_back(bench->step_row(peak));
    rows.insert(rows.end(), peer_rows.begin(), peer_rows.end());
    if (options.phases) {
      const std::vector<BenchRow> phases = bench->phase_rows(peak);
      rows.insert(rows.end(), phases.begin(), phases.end());
    }
    rows.push_back(to_row(peak));
  }
  return rows;
}

absl::Status run_train(TrainOptions options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto communicator, open_communicator({}));
  const bool speaks = communicator->rank() == 0;
  if (options.config.threads == 0) {
    options.config.threads = std::max(1, available_cores() / communicator->local_size());
  }
  LOCKSTEP_RETURN_IF_ERROR(check_options(*communicator, options));
  if (const absl::Status gpu = find_gpu(*communicator, options.config); !gpu.ok()) {
    return speaks ? not_run(gpu) : absl::OkStatus();
  }
  const bool on_gpus = options.config.device == "cuda" && !options.peers && !options.interactive;
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<BenchRow> rows,
                            on_gpus ? train_on_gpus(*communicator, options) : train_on_cpu(*communicator, options));
  if (speaks && !rows.empty()) print_rows(rows, options.json);
  return speaks ? failures_of(rows) : absl::OkStatus();
}

}  // namespace

void add_train_command(CLI::App* app, absl::Status* status) {
  auto options = std::make_shared<TrainOptions>();
  TrainConfig& config = options->config;
  CLI::App* command = app->add_subcommand(
      "train", "Training step of a network: images/s, GFLOP/s, per cent of peak, per phase; also under mpirun");
  command->add_option("--model", config.model, "Network description")->capture_default_str();
  command
      ->add_option("--train_batch_size", options->batches,
                   "Images per step, over all ranks; several are measured in turn")
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
