// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "bench/commands.h"
#include "bench/serve_goals.h"
#include "bench/serve_target.h"
#include "bench/serve_work.h"
#include "core/base/file.h"

namespace lockstep {
namespace {

struct ServeOptions {
  ServeWorkOptions work;
  ServeRounds rounds;
  ServePeerOptions peer;
  std::string program;  // empty: lockstep beside this program
  int threads = 0, connections = 64, starts = 5;
  int batch_connections = 8;
  int64_t batch = ServeWork::kImages;
  bool peers = false, json = false;
};

// Removed with everything in it at the end.
class ScratchDirectory {
 public:
  static absl::StatusOr<std::unique_ptr<ScratchDirectory>> create() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lockstep_bench_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) return absl::ErrnoToStatus(errno, pattern);
    return std::unique_ptr<ScratchDirectory>(new ScratchDirectory(pattern));
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

std::string program_of(const ServeOptions& options) {
  if (!options.program.empty()) return options.program;
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "lockstep").string();
}

BenchRow time_row(const std::string& name, const std::string& shape, int threads, const std::vector<double>& seconds) {
  BenchRow row = BenchRow::here("serve", name);
  row.shape = shape;
  row.threads = threads;
  row.set_time(summarize(seconds));
  return row;
}

absl::StatusOr<BenchRow> measure_start(const ServeOptions& options, const ServeWork& work, const std::string& scratch) {
  std::vector<double> seconds;
  int threads = 1;
  for (int i = 0; i < options.starts; ++i) {
    LOCKSTEP_ASSIGN_OR_RETURN(const ServeTarget ours, start_ours(program_of(options), work, scratch, options.threads));
    seconds.push_back(ours.process->start_to_ready_s());
    threads = ours.threads;
  }
  return time_row("Lockstep", "start to ready", threads, seconds);
}

std::vector<BenchRow> start_rows(std::span<const ServeTarget> peers) {
  std::vector<BenchRow> rows;
  for (const ServeTarget& peer : peers) {
    rows.push_back(time_row(peer.name, "start to ready", peer.threads, {peer.process->start_to_ready_s()}));
    rows.back().backend = peer.variant;
  }
  return rows;
}

absl::StatusOr<std::vector<BenchRow>> measure(const ServeOptions& options, const std::string& scratch) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto work, ServeWork::create(options.work, scratch));
  LOCKSTEP_ASSIGN_OR_RETURN(const BenchRow start, measure_start(options, *work, scratch));
  std::vector<ServeTarget> targets(1);
  LOCKSTEP_ASSIGN_OR_RETURN(targets[0], start_ours(program_of(options), *work, scratch, options.threads));
  if (options.peers) {
    LOCKSTEP_ASSIGN_OR_RETURN(auto peers, start_serve_peers(options.peer, *work, scratch, options.connections));
    for (ServeTarget& peer : peers) targets.push_back(std::move(peer));
  }
  const auto shape = [&](int64_t images, int connections) {
    const std::string name = fmt::format("{} {}, {} {}", images, images == 1 ? "image" : "images", connections,
                                         connections == 1 ? "connection" : "connections");
    return measure_shape(*work, {name, images, connections}, targets, options.rounds);
  };
  const auto many = shape(1, options.connections), one = shape(1, 1);
  // Beside the requests of one connection, in whose time it is the largest part.
  const double seconds = options.rounds.seconds;
  LOCKSTEP_ASSIGN_OR_RETURN(const auto inference, work->time_inference(targets[0].threads, seconds));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto parsing, work->time_parsing(seconds));
  const auto batches = shape(options.batch, options.batch_connections);
  const ServeFigures figures{many,
                             one,
                             batches,
                             time_row("the network alone, in process", "1 image", targets[0].threads, inference),
                             time_row("the parser alone, in process", "1 image as JSON", 1, parsing),
                             start};
  std::vector<BenchRow> rows = many;
  rows.insert(rows.end(), one.begin(), one.end());
  rows.insert(rows.end(), batches.begin(), batches.end());
  rows.insert(rows.end(), {figures.inference, figures.parsing, figures.start});
  const auto starts = start_rows(std::span(targets).subspan(1)), goals = goal_rows(figures);
  rows.insert(rows.end(), starts.begin(), starts.end());
  rows.insert(rows.end(), goals.begin(), goals.end());
  return rows;
}

absl::Status run_serve(const ServeOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto scratch, ScratchDirectory::create());
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<BenchRow> rows, measure(options, scratch->path()));
  print_rows(rows, options.json);
  return failures_of(rows);
}

void add_model_options(CLI::App* command, ServeWorkOptions& work) {
  command->add_option("--model_dir", work.model_dir, "Trained model; without one, --model is trained first");
  command->add_option("--model", work.model, "Network description")->capture_default_str();
  command->add_option("--data_dir", work.data_dir, "Images to train on, and to ask for")->capture_default_str();
  command->add_option("--train_steps", work.train_steps, "Steps of that training")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
}

}  // namespace

void add_serve_command(CLI::App* app, absl::Status* status) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app->add_subcommand(
      "serve", "lockstep serve under load: images/s, median and p99 of a request, start, and the goals for them");
  add_model_options(command, options->work);
  command->add_option("--program", options->program, "Server; without, lockstep beside this program");
  command->add_option("--threads", options->threads, "Threads of a pass; 0: the server's own choice")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command->add_option("--connections", options->connections, "Clients that ask for one image at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  command->add_option("--batch", options->batch, "Images of a large request")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, ServeWork::kImages));
  command->add_option("--batch_connections", options->batch_connections, "Clients that send large requests")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--rounds", options->rounds.rounds, "Rounds of each kind of load")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--seconds", options->rounds.seconds, "Time of a round for each server")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 3600.0));
  command->add_option("--starts", options->starts, "Starts of the server that are timed")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--peers", options->peers,
                    "In turns with ONNX Runtime and TensorFlow behind FastAPI (bench/peers/setup.sh)");
  command->add_flag("--json", options->json, "Lines of JSON");
  command->callback([options, status] { *status = run_serve(*options); });
}

}  // namespace lockstep
