// SPDX-License-Identifier: Apache-2.0
// Where the time of training steps goes, in seconds summed over steps.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace lockstep {

struct LayerTime {
  std::string name;
  double flops = 0;           // forward, per example
  double backward_flops = 0;  // per example
  double forward_s = 0, backward_s = 0;
  double update_s = 0;  // weight gradient and Adam in one (Layer::update): of layers that give operands
};

struct StepTimes {
  int64_t steps = 0;
  double total_s = 0;
  double input_s = 0;  // waiting for the batch, conversion to float, augmentation
  double loss_s = 0;   // softmax cross-entropy
  double adam_s = 0;
  double reduce_s = 0;  // starting and waiting for reduce-scatters
  double gather_s = 0;  // starting and waiting for all-gathers
  std::vector<LayerTime> layers;
};

// Adds the seconds between construction and destruction to *total.
class ScopedTimer {
 public:
  explicit ScopedTimer(double* total) : total_(total), start_(std::chrono::steady_clock::now()) {}
  ~ScopedTimer() { *total_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  ScopedTimer(const ScopedTimer&) = delete;
  ScopedTimer& operator=(const ScopedTimer&) = delete;

 private:
  double* total_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace lockstep
