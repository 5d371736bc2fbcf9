// SPDX-License-Identifier: Apache-2.0
#include "core/train/run_data.h"

#include <fmt/format.h>

#include "core/nn/yaml_reader.h"

namespace lockstep {
namespace {

SplitData split_data(const Dataset& data) { return {data.size(), data.fingerprint()}; }

struct Fact {
  std::string key, what;  // in the file, in an error
  std::string value;
};

// The number of examples first: where that differs, nobody needs to hear that the contents do too.
std::vector<Fact> facts_of(std::string_view split, const SplitData& data) {
  const auto crc = [](uint32_t value) { return fmt::format("0x{:08x}", value); };
  return {{fmt::format("{}_examples", split), fmt::format("{} examples: ", split), fmt::format("{}", data.examples)},
          {fmt::format("{}_images_crc32c", split), fmt::format("{} images: CRC-32C ", split),
           crc(data.fingerprint.images_crc32c)},
          {fmt::format("{}_labels_crc32c", split), fmt::format("{} labels: CRC-32C ", split),
           crc(data.fingerprint.labels_crc32c)}};
}

std::vector<std::vector<Fact>> facts_of(const RunData& data) {
  return {facts_of("train", data.train), facts_of("test", data.test)};
}

}  // namespace

RunData run_data(const Dataset& train, const Dataset& test) { return {split_data(train), split_data(test)}; }

std::string to_yaml(const RunData& data) {
  std::string out;
  for (const auto& split : facts_of(data)) {
    for (const Fact& fact : split) out += fmt::format("{}: {}\n", fact.key, fact.value);
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> data_differences(std::string_view yaml, const std::string& path,
                                                          const RunData& data) {
  LOCKSTEP_ASSIGN_OR_RETURN(const YAML::Node root, parse_yaml(yaml, path));
  std::vector<std::string> differences;
  if (!root.IsMap()) {
    return absl::DataLossError(fmt::format("{}: expected lines like `train_examples: 55000`, found none", path));
  }
  for (const auto& split : facts_of(data)) {
    for (const Fact& fact : split) {
      const YAML::Node saved = root[fact.key];
      if (!saved) continue;
      const std::string before = saved.IsScalar() ? saved.Scalar() : "no single value";
      if (before == fact.value) continue;
      differences.push_back(fmt::format("{}{} in the saved run, {} now", fact.what, before, fact.value));
      if (&fact == &split.front()) break;
    }
  }
  return differences;
}

}  // namespace lockstep
