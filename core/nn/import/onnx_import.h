// SPDX-License-Identifier: Apache-2.0
// Networks out of ONNX files: ours, those that tf2onnx makes of TensorFlow's, PyTorch's. docs/formats/import.md lists
// the operators.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/nn/trained_model.h"

namespace lockstep {

// The network of an ONNX model (the bytes of the file; `path` is for messages). Every output must be the logits, their
// softmax, log-softmax or argmax. Images are (C, H, W) to an ONNX convolution: filters become HWIO, and the rows of the
// first dense layer come into the order of height, width, channels. Unimplemented names the first operator that no
// network of ours can have, and what is supported; nothing is guessed, and no file makes it loop or crash.
absl::StatusOr<TrainedModel> import_onnx(std::string_view bytes, const std::string& path);

}  // namespace lockstep
