// SPDX-License-Identifier: Apache-2.0
#include "core/train/device_inference.h"

#include <cstring>

namespace lockstep {
namespace {

template <typename T>
absl::Status allocate_both(Device& device, int64_t size, DeviceBuffer<T>* pinned, DeviceBuffer<T>* on_device) {
  const auto count = static_cast<size_t>(size);
  LOCKSTEP_ASSIGN_OR_RETURN(*pinned, DeviceBuffer<T>::allocate(device, count, DeviceBuffer<T>::Kind::kPinned));
  LOCKSTEP_ASSIGN_OR_RETURN(*on_device, DeviceBuffer<T>::allocate(device, count));
  return absl::OkStatus();
}

size_t bytes_of(int64_t count, size_t size) { return static_cast<size_t>(count) * size; }

}  // namespace

int64_t DeviceInference::memory_bytes(const Network& network, int64_t capacity) {
  return capacity * (network.input().size() + static_cast<int64_t>(sizeof(int32_t) + sizeof(float)));
}

absl::StatusOr<std::unique_ptr<DeviceInference>> DeviceInference::create(Device& device, const Network& network,
                                                                         int64_t capacity) {
  std::unique_ptr<DeviceInference> i(new DeviceInference(network));
  LOCKSTEP_RETURN_IF_ERROR(allocate_both(device, capacity * network.input().size(), &i->host_images_, &i->images_));
  LOCKSTEP_RETURN_IF_ERROR(allocate_both(device, capacity, &i->host_labels_, &i->labels_));
  LOCKSTEP_RETURN_IF_ERROR(allocate_both(device, capacity, &i->host_losses_, &i->losses_));
  LOCKSTEP_ASSIGN_OR_RETURN(i->host_logits_,
                            DeviceBuffer<float>::allocate(device, static_cast<size_t>(capacity * network.classes()),
                                                          DeviceBuffer<float>::Kind::kPinned));
  return i;
}

absl::Status DeviceInference::enqueue(Model& model, const KernelContext& kernel, const float* weights, int64_t examples,
                                      const uint8_t* images, const int32_t* labels) {
  Device& device = *kernel.device->device;
  const DeviceStream stream = kernel.device->stream;
  const size_t image_bytes = bytes_of(examples * network_.input().size(), sizeof(uint8_t));
  const size_t label_bytes = bytes_of(examples, sizeof(int32_t));
  std::memcpy(host_images_.data(), images, image_bytes);
  std::memcpy(host_labels_.data(), labels, label_bytes);
  LOCKSTEP_RETURN_IF_ERROR(device.copy(images_.data(), host_images_.data(), image_bytes, stream));
  LOCKSTEP_RETURN_IF_ERROR(device.copy(labels_.data(), host_labels_.data(), label_bytes, stream));
  const PassContext pass{.kernel = kernel, .examples = examples};
  LOCKSTEP_RETURN_IF_ERROR(model.load_images(kernel, images_.data(), examples));
  LOCKSTEP_RETURN_IF_ERROR(model.forward(pass, weights, [](int) { return absl::OkStatus(); }));
  LOCKSTEP_RETURN_IF_ERROR(model.loss(pass, labels_.data(), 0, losses_.data()));
  LOCKSTEP_RETURN_IF_ERROR(device.copy(host_losses_.data(), losses_.data(), bytes_of(examples, sizeof(float)), stream));
  return device.copy(host_logits_.data(), model.logits(), bytes_of(examples * network_.classes(), sizeof(float)),
                     stream);
}

void DeviceInference::results(int64_t examples, float* losses, float* logits) const {
  std::memcpy(losses, host_losses_.data(), bytes_of(examples, sizeof(float)));
  std::memcpy(logits, host_logits_.data(), bytes_of(examples * network_.classes(), sizeof(float)));
}

}  // namespace lockstep
