// SPDX-License-Identifier: Apache-2.0
// By what a run tells the data that it began with from others: `data.yaml` in --output_dir.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "io/batch_source.h"

namespace lockstep {

struct SplitData {
  int64_t examples = 0;
  DatasetFingerprint fingerprint;
};

// Equal for raw IDX files and for records made of all of them, and for every rank count. The test set does not change
// the weights, but accuracies of two test sets in one curve would mean nothing.
struct RunData {
  SplitData train, test;
};

RunData run_data(const Dataset& train, const Dataset& test);

// "train_examples: 55000\ntrain_images_crc32c: 0x…"
std::string to_yaml(const RunData& data);

// "train images: CRC-32C 0x… in the saved run, 0x… now" for everything in which `data` is not what `yaml`, the contents
// of `path`, says. What `yaml` lacks is not compared: earlier versions wrote the number of training examples only.
absl::StatusOr<std::vector<std::string>> data_differences(std::string_view yaml, const std::string& path,
                                                          const RunData& data);

}  // namespace lockstep
