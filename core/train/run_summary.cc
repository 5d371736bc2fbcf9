// SPDX-License-Identifier: Apache-2.0
#include "core/train/run_summary.h"

#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "core/base/version.h"

namespace lockstep {
namespace {

nlohmann::ordered_json config_json(const TrainConfig& config) {
  nlohmann::ordered_json json;
  for (const TrainOption& option : train_options()) {
    std::visit([&](const auto field) { json[option.name] = config.*field; }, option.field);
  }
  return json;
}

}  // namespace

std::string to_json(const RunSummary& s) {
  const nlohmann::ordered_json json{{"config", config_json(s.config)},
                                    {"version", kVersion},
                                    {"backend", s.backend},
                                    {"transport", s.transport},
                                    {"ranks", s.ranks},
                                    {"threads", s.threads},
                                    {"parameters", s.parameters},
                                    {"steps", s.steps},
                                    {"examples", s.examples},
                                    {"resumed_from", s.resumed_from},
                                    {"wall_seconds", s.wall_seconds},
                                    {"train_seconds", s.train_seconds},
                                    {"images_per_s", s.images_per_s},
                                    {"accuracy", s.accuracy},
                                    {"loss", s.loss},
                                    {"peak_memory_bytes", s.peak_memory_bytes},
                                    {"weights_sha256", s.weights_sha256}};
  // A path with bytes that are no UTF-8 must not fail the run at its end.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

bool holds_summary_of(const std::string& output_dir, const std::string& weights_sha256) {
  const auto text = read_file(join_path(output_dir, "run.json"));
  if (!text.ok()) return false;
  const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains("weights_sha256") && json["weights_sha256"] == weights_sha256;
}

absl::Status write_run_summary(const RunSummary& summary) {
  return write_file_atomic(join_path(summary.config.output_dir, "run.json"), to_json(summary));
}

}  // namespace lockstep
