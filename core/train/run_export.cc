// SPDX-License-Identifier: Apache-2.0
#include "core/train/run_export.h"

#include <fmt/format.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/nn/saved_model_export.h"

namespace lockstep {

absl::Status export_run(const TrainConfig& config, const ModelConfig& model, const Network& network,
                        const float* weights, int64_t global_step) {
  const std::string base = join_path(config.output_dir, "export/Servo");
  if (holds_export_of(base, network, weights, global_step)) {
    LOG_INFO("{} has this model already", base);
    return absl::OkStatus();
  }
  const auto say_removed = [](const std::string& version) {
    LOG_INFO("removed the older export {}; --exports_to_keep keeps more", version);
  };
  const auto directory = export_saved_model(base, model, network, weights, global_step,
                                            {.exports_to_keep = config.exports_to_keep, .on_removed = say_removed});
  if (!directory.ok()) {
    return annotate(directory.status(),
                    fmt::format("the run is finished and its checkpoint is safe in {}, but the export failed (the same "
                                "command, or `lockstep export --model_dir {} --directory {}`, tries again)",
                                config.output_dir, config.output_dir, base));
  }
  LOG_INFO("SavedModel written to: {}", join_path(*directory, "saved_model.pb"));
  return absl::OkStatus();
}

}  // namespace lockstep
