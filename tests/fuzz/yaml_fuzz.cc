// SPDX-License-Identifier: Apache-2.0
// Configuration files: networks (first byte even) and training runs (odd). What is accepted is written out, and reads
// as the same.
#include "core/base/check.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"
#include "core/train/train_config.h"
#include "tests/fuzz/fuzz_input.h"

namespace lockstep {
namespace {

void read_model(std::string_view yaml) {
  const auto config = parse_model_config(yaml, "fuzz.yaml");
  if (!config.ok()) return;
  const std::string text = to_yaml(*config);
  const auto again = parse_model_config(text, "again.yaml");
  LOCKSTEP_CHECK(again.ok());
  LOCKSTEP_CHECK(to_yaml(*again) == text);
  const auto network = Network::build(*config);
  if (network.ok()) LOCKSTEP_CHECK_EQ(network->classes(), config->classes);
}

void read_run(std::string_view yaml) {
  TrainConfig config;
  if (!apply_yaml(yaml, "fuzz.yaml", &config).ok()) return;
  const std::string text = to_yaml(config);
  TrainConfig again;
  LOCKSTEP_CHECK(apply_yaml(text, "again.yaml", &again).ok());
  LOCKSTEP_CHECK(to_yaml(again) == text);
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  if (lockstep::take_byte(rest) % 2 == 0) {
    lockstep::read_model(rest);
  } else {
    lockstep::read_run(rest);
  }
  return 0;
}
