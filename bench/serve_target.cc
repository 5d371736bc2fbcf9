// SPDX-License-Identifier: Apache-2.0
#include "bench/serve_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/load_generator.h"
#include "core/base/file.h"
#include "core/base/host_info.h"
#include "core/base/log.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr char kModel[] = "mnist";
constexpr double kTrialSeconds = 0.7;

// The number behind "threads=" in the settings that the server prints.
std::optional<int> threads_in(const std::string& output) {
  constexpr std::string_view kKey = " threads=";
  const size_t at = output.find(kKey);
  int threads = 0;
  if (at == std::string::npos) return std::nullopt;
  const char* digits = output.data() + at + kKey.size();
  if (std::from_chars(digits, output.data() + output.size(), threads).ec != std::errc()) return std::nullopt;
  return threads;
}

// It may answer that it is ready a moment before it has printed its settings.
absl::StatusOr<int> threads_of(const ServerProcess& process) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (true) {
    if (const std::optional<int> threads = threads_in(process.output())) return *threads;
    if (std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return absl::DataLossError("no threads=N in what the server printed within 5 s:\n" + process.output());
}

// A peer of so many processes. Its /readyz says who it is: {"peer": "…", "paths": {"event loop": "/v1/…", …}}.
absl::StatusOr<std::vector<ServeTarget>> start_variants(const ServePeerOptions& options, const std::string& name,
                                                        const std::string& model, const std::string& scratch,
                                                        int workers) {
  const std::string python = join_path(join_path(options.environments, name), "bin/python");
  if (!file_exists(python)) return absl::NotFoundError(fmt::format("no {}: run bench/peers/setup.sh", python));
  LOCKSTEP_ASSIGN_OR_RETURN(const int port, free_port());
  const int threads = std::max(1, available_cores() / workers);
  LOCKSTEP_ASSIGN_OR_RETURN(
      auto process, ServerProcess::start({python, join_path(options.scripts, fmt::format("serve_{}.py", name)),
                                          fmt::format("--model={}", model), fmt::format("--port={}", port),
                                          fmt::format("--workers={}", workers), fmt::format("--threads={}", threads)},
                                         port, join_path(scratch, name + ".log")));
  const json hello = json::parse(process->ready_answer(), nullptr, false);
  if (!hello.is_object() || !hello.contains("peer") || !hello.contains("paths")) {
    return absl::DataLossError(fmt::format("{}: /readyz answered `{}`", name, process->ready_answer()));
  }
  // The process goes with the variant that is kept.
  std::shared_ptr<ServerProcess> shared = std::move(process);
  std::vector<ServeTarget> variants;
  for (const auto& [handler, path] : hello["paths"].items()) {
    variants.push_back({.name = hello["peer"],
                        .variant = fmt::format("{} {}, {}", workers, workers == 1 ? "process" : "processes", handler),
                        .path = path,
                        .threads = threads,
                        .process = shared});
  }
  return variants;
}

// Requests/s at so many connections, in a short trial.
absl::StatusOr<double> try_out(const ServeWork& work, const ServeTarget& target, int connections) {
  const auto requests = work.requests(target.path, 1);
  const LoadOptions options{.port = target.process->port(), .connections = connections, .seconds = kTrialSeconds};
  LOCKSTEP_RETURN_IF_ERROR(run_load(requests, options).status());  // what is made at the first request is made
  LOCKSTEP_ASSIGN_OR_RETURN(const Load load, run_load(requests, options));
  return load.requests_per_s();
}

absl::StatusOr<ServeTarget> start_peer(const ServePeerOptions& options, const std::string& name,
                                       const std::string& model, const ServeWork& work, const std::string& scratch,
                                       int connections) {
  ServeTarget best;
  double best_speed = 0;
  std::vector<int> workers = {1};
  if (available_cores() > 1) workers.push_back(available_cores());
  for (const int count : workers) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto variants, start_variants(options, name, model, scratch, count));
    for (const ServeTarget& variant : variants) {
      LOCKSTEP_ASSIGN_OR_RETURN(const double speed, try_out(work, variant, connections));
      LOG_INFO("{}, {}: {:.0f} requests/s in a trial", variant.name, variant.variant, speed);
      if (speed > best_speed) best_speed = speed, best = variant;
    }
  }
  return best;
}

struct Measured {
  std::vector<double> latencies_s, images_per_s;
  std::string failure;
};

BenchRow row_of(const ServeTarget& target, const ServeShape& shape, Measured& measured, const Measured& ours) {
  BenchRow row = BenchRow::here("serve", target.name);
  row.backend = target.variant;
  row.shape = shape.name;
  row.threads = target.threads;
  if (!measured.failure.empty()) {
    row.fail(measured.failure);
    return row;
  }
  std::sort(measured.latencies_s.begin(), measured.latencies_s.end());
  row.median_s = quantile_of(measured.latencies_s, 0.5);
  row.p99_s = quantile_of(measured.latencies_s, 0.99);
  const Summary speed = summarize(measured.images_per_s);
  row.images_per_s = speed.median;
  row.spread = speed.spread;
  if (&measured == &ours || !ours.failure.empty()) return row;
  std::vector<double> ratios;
  for (size_t i = 0; i < measured.images_per_s.size(); ++i) {
    ratios.push_back(ours.images_per_s[i] / measured.images_per_s[i]);
  }
  row.ratio = summarize(ratios).median;
  return row;
}

}  // namespace

absl::StatusOr<ServeTarget> start_ours(const std::string& program, const ServeWork& work, const std::string& scratch,
                                       int threads) {
  LOCKSTEP_ASSIGN_OR_RETURN(const int port, free_port());
  std::vector<std::string> command = {program,
                                      "serve",
                                      fmt::format("--model_name={}", kModel),
                                      "--model_base_path",
                                      work.base_path(),
                                      "--port",
                                      "0",
                                      "--rest_api_port",
                                      fmt::format("{}", port)};
  if (threads > 0) command.push_back(fmt::format("--threads={}", threads));
  LOCKSTEP_ASSIGN_OR_RETURN(auto process, ServerProcess::start(command, port, join_path(scratch, "lockstep.log")));
  LOCKSTEP_ASSIGN_OR_RETURN(const int used, threads_of(*process));
  return ServeTarget{.name = "Lockstep",
                     .variant = "",
                     .path = fmt::format("/v1/models/{}:predict", kModel),
                     .threads = used,
                     .process = std::move(process)};
}

absl::StatusOr<std::vector<ServeTarget>> start_serve_peers(const ServePeerOptions& options, const ServeWork& work,
                                                           const std::string& scratch, int connections) {
  std::vector<ServeTarget> peers;
  for (const auto& [name, model] : {std::pair("onnxruntime", work.onnx()), {"tensorflow", work.saved_model()}}) {
    auto peer = start_peer(options, name, model, work, scratch, connections);
    if (peer.ok()) {
      peers.push_back(std::move(*peer));
    } else {
      LOG_WARNING("{} is not measured: {}", name, std::string(peer.status().message()));
    }
  }
  if (peers.empty()) return absl::NotFoundError("no peer can be run: run bench/peers/setup.sh");
  return peers;
}

std::vector<BenchRow> measure_shape(const ServeWork& work, const ServeShape& shape,
                                    std::span<const ServeTarget> targets, const ServeRounds& rounds) {
  std::vector<Measured> measured(targets.size());
  std::vector<std::vector<LoadRequest>> requests;
  for (const ServeTarget& target : targets) requests.push_back(work.requests(target.path, shape.images));
  for (int round = 0; round < rounds.rounds; ++round) {
    for (size_t i = 0; i < targets.size(); ++i) {
      if (!measured[i].failure.empty()) continue;
      const auto load =
          run_load(requests[i],
                   {.port = targets[i].process->port(), .connections = shape.connections, .seconds = rounds.seconds});
      if (!load.ok()) {
        measured[i].failure = std::string(load.status().message());
        continue;
      }
      measured[i].images_per_s.push_back(load->requests_per_s() * static_cast<double>(shape.images));
      auto& all = measured[i].latencies_s;
      all.insert(all.end(), load->latencies_s.begin(), load->latencies_s.end());
    }
  }
  std::vector<BenchRow> rows;
  for (size_t i = 0; i < targets.size(); ++i) rows.push_back(row_of(targets[i], shape, measured[i], measured[0]));
  return rows;
}

}  // namespace lockstep
