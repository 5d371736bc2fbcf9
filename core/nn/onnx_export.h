// SPDX-License-Identifier: Apache-2.0
// A trained network as an ONNX model (opset 13, IR version 7). docs/formats/onnx.md lists the nodes.
//
// ONNX computes in NCHW. The model still takes pixels in our order, NHWC: filters are transposed, the rows of a dense
// kernel behind a flattened image permuted, and a colour image is transposed once at the start.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"

namespace lockstep {

// Input `inputs` float (N, H * W * C), N any number; outputs `classes` int64 (N) and `probabilities` float (N,
// classes). `network` was built from `config`; `weights` has its layout. The same model gives the same bytes.
// InvalidArgument for more than 2 GiB of weights, which is all that a protobuf holds.
absl::StatusOr<std::string> onnx_bytes(const ModelConfig& config, const Network& network, const float* weights,
                                       int64_t global_step);

// Writes them to `path`, whole or not at all; its directory is made when missing.
absl::Status export_onnx(const std::string& path, const ModelConfig& config, const Network& network,
                         const float* weights, int64_t global_step);

}  // namespace lockstep
