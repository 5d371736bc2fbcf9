// SPDX-License-Identifier: Apache-2.0
// Instances of a prediction, one JSON value a line, for a model of 2 x 3 grey pixels.
#include <nlohmann/json.hpp>
#include <vector>

#include "serve/instance_lines.h"
#include "serve/instances.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto instances = lockstep::parse_json_lines(text, "fuzz.json", lockstep::kMostOnlineInstances);
  if (!instances.ok()) return 0;
  const lockstep::InstanceReader reader({2, 3, 1});
  std::vector<float> numbers(6);
  for (const nlohmann::json& instance : *instances) reader.read(instance, "fuzz.json", numbers).IgnoreError();
  return 0;
}
