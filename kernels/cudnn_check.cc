// SPDX-License-Identifier: Apache-2.0
#include "kernels/cudnn_check.h"

#include <cudnn.h>
#include <fmt/format.h>

#include <string>

namespace lockstep {
namespace {

absl::StatusCode code_of(cudnnStatus_t error) {
  constexpr int kNotSupported = 3000, kCategory = 1000;
  if (error / kCategory * kCategory == kNotSupported) return absl::StatusCode::kUnimplemented;
  const bool memory = error == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                      error == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  return memory ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal;
}

}  // namespace

absl::Status cudnn_status(int error, std::string_view call) {
  if (error == CUDNN_STATUS_SUCCESS) return absl::OkStatus();
  const auto native = static_cast<cudnnStatus_t>(error);
  char details[512] = {};
  cudnnGetLastErrorString(details, sizeof details - 1);
  std::string message = fmt::format("{}: {}", call, cudnnGetErrorString(native));
  if (details[0] != '\0') message += fmt::format(" ({})", details);
  return absl::Status(code_of(native), message);
}

}  // namespace lockstep
