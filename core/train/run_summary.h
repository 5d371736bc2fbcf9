// SPDX-License-Identifier: Apache-2.0
// run.json: what a finished run was and what came of it.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"
#include "core/train/train_config.h"

namespace lockstep {

struct RunSummary {
  TrainConfig config;
  std::string backend;  // "simd (AVX3)"
  int ranks = 1;
  int threads = 1;           // per rank
  std::string transport;     // of gradients and weights: local, shm, mpi
  int64_t parameters = 0;    // trainable
  int64_t steps = 0;         // global step at the end
  int64_t examples = 0;      // steps * global batch
  int64_t resumed_from = 0;  // global step this process started at
  double wall_seconds = 0;   // of this process, start to end
  double train_seconds = 0;  // of this process, in training steps
  double images_per_s = 0;   // of this process, over train_seconds
  double accuracy = 0;
  double loss = 0;
  int64_t peak_memory_bytes = 0;  // of the rank with most
  std::string weights_sha256;
};

std::string to_json(const RunSummary& summary);
// Whether <output_dir>/run.json tells of a run that ended with these weights.
bool holds_summary_of(const std::string& output_dir, const std::string& weights_sha256);
// Writes <output_dir>/run.json, whole or not at all.
absl::Status write_run_summary(const RunSummary& summary);

}  // namespace lockstep
