// SPDX-License-Identifier: Apache-2.0
// Descriptors of cuDNN's graph API. Only for .cc files that include <cudnn.h> before.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/status.h"
#include "kernels/cudnn_check.h"

namespace lockstep::cudnn {

// The attribute type that goes with a C++ type.
template <typename T>
constexpr cudnnBackendAttributeType_t type_of();
template <>
constexpr cudnnBackendAttributeType_t type_of<int64_t>() {
  return CUDNN_TYPE_INT64;
}
template <>
constexpr cudnnBackendAttributeType_t type_of<float>() {
  return CUDNN_TYPE_FLOAT;
}
template <>
constexpr cudnnBackendAttributeType_t type_of<bool>() {
  return CUDNN_TYPE_BOOLEAN;
}
template <>
constexpr cudnnBackendAttributeType_t type_of<cudnnDataType_t>() {
  return CUDNN_TYPE_DATA_TYPE;
}
template <>
constexpr cudnnBackendAttributeType_t type_of<cudnnConvolutionMode_t>() {
  return CUDNN_TYPE_CONVOLUTION_MODE;
}
template <>
constexpr cudnnBackendAttributeType_t type_of<cudnnBackendHeurMode_t>() {
  return CUDNN_TYPE_HEUR_MODE;
}
template <>
constexpr cudnnBackendAttributeType_t type_of<cudnnBackendKnobType_t>() {
  return CUDNN_TYPE_KNOB_TYPE;
}
template <>
constexpr cudnnBackendAttributeType_t type_of<cudnnBackendNumericalNote_t>() {
  return CUDNN_TYPE_NUMERICAL_NOTE;
}
template <>
constexpr cudnnBackendAttributeType_t type_of<cudnnHandle_t>() {
  return CUDNN_TYPE_HANDLE;
}
template <>
constexpr cudnnBackendAttributeType_t type_of<cudnnBackendDescriptor_t>() {  // void*, as are the pointers of a pack
  return CUDNN_TYPE_BACKEND_DESCRIPTOR;
}

// A descriptor of cuDNN's graph API. Attributes are set, then it is finalized, then it is used. The first failure is
// kept and makes the calls that follow do nothing, so that a caller looks once.
class Descriptor {
 public:
  Descriptor(cudnnBackendDescriptorType_t type, std::string_view name) : name_(name) {
    note(cudnnBackendCreateDescriptor(type, &native_), "cudnnBackendCreateDescriptor");
  }
  Descriptor(Descriptor&& other) noexcept
      : name_(other.name_), native_(std::exchange(other.native_, nullptr)), status_(other.status_) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (native_ != nullptr) cudnnBackendDestroyDescriptor(native_);
  }

  template <typename T>
  Descriptor& set(cudnnBackendAttributeName_t attribute, const T* values, int64_t count,
                  cudnnBackendAttributeType_t type = type_of<T>()) {
    if (status_.ok()) note(cudnnBackendSetAttribute(native_, attribute, type, count, values), "an attribute");
    return *this;
  }
  template <typename T>
  Descriptor& set(cudnnBackendAttributeName_t attribute, const T& value) {
    return set(attribute, &value, 1);
  }
  template <typename T, size_t kCount>
  Descriptor& set(cudnnBackendAttributeName_t attribute, const std::array<T, kCount>& values) {
    return set(attribute, values.data(), kCount);
  }
  Descriptor& set(cudnnBackendAttributeName_t attribute, const Descriptor& other) {
    if (status_.ok()) status_ = other.status_;
    return set(attribute, other.native_);
  }
  Descriptor& set(cudnnBackendAttributeName_t attribute, const std::vector<Descriptor>& others) {
    std::vector<cudnnBackendDescriptor_t> all;
    for (const Descriptor& other : others) {
      if (status_.ok()) status_ = other.status_;
      all.push_back(other.native_);
    }
    return set(attribute, all.data(), static_cast<int64_t>(all.size()));
  }
  Descriptor& finalize() {
    if (status_.ok()) note(cudnnBackendFinalize(native_), "cudnnBackendFinalize");
    return *this;
  }

  // Into `values`, room for `room`; the number of them.
  template <typename T>
  absl::StatusOr<int64_t> get(cudnnBackendAttributeName_t attribute, T* values, int64_t room) const {
    LOCKSTEP_RETURN_IF_ERROR(status_);
    int64_t count = 0;
    LOCKSTEP_RETURN_IF_ERROR(
        cudnn_status(cudnnBackendGetAttribute(native_, attribute, type_of<T>(), room, &count, values),
                     fmt::format("reading attribute {} of {}", static_cast<int>(attribute), name_)));
    return count;
  }
  template <typename T>
  absl::StatusOr<T> get(cudnnBackendAttributeName_t attribute) const {
    T value{};
    LOCKSTEP_RETURN_IF_ERROR(get(attribute, &value, 1).status());
    return value;
  }

  const absl::Status& status() const { return status_; }
  cudnnBackendDescriptor_t native() const { return native_; }

 private:
  void note(cudnnStatus_t error, std::string_view what) {
    if (error != CUDNN_STATUS_SUCCESS) status_ = cudnn_status(error, fmt::format("{} of {}", what, name_));
  }

  std::string_view name_;
  cudnnBackendDescriptor_t native_ = nullptr;
  absl::Status status_;
};

inline std::vector<cudnnBackendDescriptor_t> natives(const std::vector<Descriptor>& descriptors) {
  std::vector<cudnnBackendDescriptor_t> result;
  for (const Descriptor& descriptor : descriptors) result.push_back(descriptor.native());
  return result;
}

}  // namespace lockstep::cudnn
