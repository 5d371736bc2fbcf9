// SPDX-License-Identifier: Apache-2.0
#include "core/train/metrics.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/nn/graph_export.h"

namespace lockstep {
namespace {

struct EarlierLines {
  std::string text;
  bool evaluated_last = false;  // the evaluation at the step that the run continues from is among them
};

// Lines of an earlier run up to and including `resume_step`; a line cut short by a kill is dropped.
EarlierLines lines_until(const std::string& text, int64_t resume_step) {
  std::istringstream in(text);
  EarlierLines kept;
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
    const auto step = json["step"].get<int64_t>();
    if (step > resume_step) continue;
    kept.text += line + "\n";
    if (step == resume_step && json.contains("kind") && json["kind"] == "eval") kept.evaluated_last = true;
  }
  return kept;
}

// Whether the evaluation at `resume_step` is in the file.
absl::StatusOr<bool> trim_metrics_file(const std::string& path, int64_t resume_step) {
  if (!file_exists(path)) return false;
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  const EarlierLines kept = lines_until(text, resume_step);
  if (kept.text != text) LOCKSTEP_RETURN_IF_ERROR(write_file_atomic(path, kept.text));
  return kept.evaluated_last;
}

// Opened for each line: some tens of microseconds every hundred steps, and a reader may truncate or move the file.
absl::Status append_line(const std::string& path, const std::string& line) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto file, WritableFile::create(path, /*append_mode=*/true));
  LOCKSTEP_RETURN_IF_ERROR(file->append(line + "\n"));
  return file->close();
}

}  // namespace

std::string saving_dict_line(int64_t step, const EvalResult& result) {
  return fmt::format("Saving dict for global step {0}: accuracy = {1:g}, global_step = {0}, loss = {2:g}", step,
                     static_cast<float>(result.accuracy), static_cast<float>(result.loss));
}

std::string progress_line(const Progress& p) {
  return fmt::format("step {} of {} ({:.0f} %)  {:.0f} images/s  {:.0f} s left", p.step, p.last_step,
                     100.0 * static_cast<double>(p.step) / static_cast<double>(p.last_step),
                     p.steps_per_s * static_cast<double>(p.batch),
                     static_cast<double>(p.last_step - p.step) / p.steps_per_s);
}

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::open(const std::string& output_dir, int64_t resume_step,
                                                       int64_t last_step) {
  const std::string eval_dir = join_path(output_dir, "eval");
  LOCKSTEP_RETURN_IF_ERROR(make_directories(eval_dir));
  std::unique_ptr<Metrics> metrics(new Metrics(join_path(output_dir, "metrics.jsonl")));
  LOCKSTEP_ASSIGN_OR_RETURN(const bool evaluated, trim_metrics_file(metrics->jsonl_path_, resume_step));
  if (evaluated && resume_step >= last_step) return metrics;
  const EventWriterOptions options{.resume_step = resume_step};
  LOCKSTEP_ASSIGN_OR_RETURN(metrics->train_events_, EventWriter::open(output_dir, options));
  LOCKSTEP_ASSIGN_OR_RETURN(metrics->eval_events_, EventWriter::open(eval_dir, options));
  return metrics;
}

void Metrics::add_graph(const ModelConfig& config, const Network& network) {
  if (is_glance() || train_events_->continues()) return;
  const auto bytes = graph_bytes(config, network);
  report(bytes.ok() ? train_events_->add_graph(*bytes) : bytes.status());
}

void Metrics::log_step(const StepReport& r) {
  LOG_INFO("step={} loss={:.4f} images_per_s={:.0f} learning_rate={:g}", r.step, r.loss, r.images_per_s,
           r.learning_rate);
  append_json(nlohmann::json{{"kind", "train"},
                             {"step", r.step},
                             {"loss", r.loss},
                             {"images_per_s", r.images_per_s},
                             {"global_step_per_s", r.steps_per_s},
                             {"learning_rate", r.learning_rate}}
                  .dump());
}

void Metrics::summarize(const StepReport& r, const std::vector<RankUsage>& ranks) {
  std::vector<std::pair<std::string, float>> values{{"OptimizeLoss", static_cast<float>(r.loss)},
                                                    {"loss", static_cast<float>(r.loss)},
                                                    {"global_step/sec", static_cast<float>(r.steps_per_s)},
                                                    {"images_per_sec", static_cast<float>(r.images_per_s)},
                                                    {"learning_rate", static_cast<float>(r.learning_rate)}};
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::string prefix = fmt::format("rank_{}/", rank);
    values.emplace_back(prefix + "cpu_percent", static_cast<float>(ranks[rank].cpu_percent));
    values.emplace_back(prefix + "resident_memory_bytes", static_cast<float>(ranks[rank].resident_memory_bytes));
    values.emplace_back(prefix + "communication_seconds", static_cast<float>(ranks[rank].communication_seconds));
  }
  report(train_events_->add_scalars(r.step, values));
}

void Metrics::add_histograms(int64_t step, const ParamTable& params, const float* weights) {
  if (is_glance()) return;
  for (const Param& param : params.params()) {
    report(train_events_->add_histogram(step, param.name, {weights + param.offset, static_cast<size_t>(param.size)}));
  }
}

void Metrics::evaluation(int64_t step, const EvalResult& result, const Dataset& data) {
  LOG_INFO("{}", saving_dict_line(step, result));
  if (is_glance()) return;
  append_json(
      nlohmann::json{{"kind", "eval"}, {"step", step}, {"accuracy", result.accuracy}, {"loss", result.loss}}.dump());
  const std::vector<std::pair<std::string, float>> values{{"accuracy", static_cast<float>(result.accuracy)},
                                                          {"loss", static_cast<float>(result.loss)}};
  report(eval_events_->add_scalars(step, values));
  add_mistakes(step, result, data);
}

void Metrics::add_mistakes(int64_t step, const EvalResult& result, const Dataset& data) {
  const ImageShape shape = data.shape();
  if (shape.depth != 1 && shape.depth != 3) return;  // nothing PNG viewers could show
  std::vector<uint8_t> pixels(static_cast<size_t>(shape.size()));
  for (size_t i = 0; i < result.mistakes.size(); ++i) {
    const Mistake& mistake = result.mistakes[i];
    int32_t label = 0;
    const absl::Status read = data.read({&mistake.index, 1}, pixels.data(), &label);
    if (!read.ok()) return report(read);
    const std::string tag = fmt::format("mistakes/{}_true_{}_predicted_{}", i, mistake.label, mistake.predicted);
    report(eval_events_->add_image(step, tag, pixels, shape.height, shape.width, shape.depth));
  }
}

void Metrics::progress(const Progress& p) {
  const double now_s = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  const bool last = p.step == p.last_step;
  if (now_s - last_progress_s_ < 0.1 && !last) return;
  last_progress_s_ = now_s;
  show_progress(last ? "" : progress_line(p));
}

void Metrics::append_json(const std::string& line) {
  if (jsonl_failed_) return;
  const absl::Status status = append_line(jsonl_path_, line);
  jsonl_failed_ = !status.ok();
  report(annotate(status, "metrics.jsonl (no more lines are written to it)"));
}

void Metrics::report(const absl::Status& status) {
  if (!status.ok()) LOG_ERROR("metrics: {}", std::string(status.message()));
}

}  // namespace lockstep
