// SPDX-License-Identifier: Apache-2.0
// An inference pass of a model on a device, from host memory to host memory.
#pragma once

#include <cstdint>
#include <memory>

#include "core/base/device.h"
#include "core/base/status.h"
#include "core/nn/model.h"
#include "core/nn/network.h"

namespace lockstep {

class DeviceInference {
 public:
  // For passes of up to `capacity` examples; `network` is borrowed.
  static absl::StatusOr<std::unique_ptr<DeviceInference>> create(Device& device, const Network& network,
                                                                 int64_t capacity);
  // Bytes of device memory.
  static int64_t memory_bytes(const Network& network, int64_t capacity);

  // Enqueues a pass on the stream of `kernel`, over copies of images and labels. The one before must be done.
  absl::Status enqueue(Model& model, const KernelContext& kernel, const float* weights, int64_t examples,
                       const uint8_t* images, const int32_t* labels);
  // When the stream is done: copies the results, as Classifier::classify() returns them.
  void results(int64_t examples, float* losses, float* logits) const;

 private:
  explicit DeviceInference(const Network& network) : network_(network) {}

  const Network& network_;
  DeviceBuffer<uint8_t> host_images_, images_;  // host_: pinned
  DeviceBuffer<int32_t> host_labels_, labels_;
  DeviceBuffer<float> host_losses_, losses_, host_logits_;
};

}  // namespace lockstep
