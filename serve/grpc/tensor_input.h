// SPDX-License-Identifier: Apache-2.0
// TensorProto to the numbers that a network takes. Thread-safe. Errors are InvalidArgument and say what was expected
// and found, those about shapes with an example.
#pragma once

#include "core/base/status.h"
#include "serve/requests/parsed_predict.h"

namespace lockstep::proto {
class TensorProto;
}

namespace lockstep {

// A batch of images: DT_FLOAT [n, H * W * C] or [n, H, W, C] ([n, H, W] when C is 1); DT_UINT8 of the same shapes,
// scaled to [0, 1]; or DT_STRING [n], or of no dimension for one, each a PNG, which is prepared as prepare_image()
// does, or H * W * C bytes. Values are the tensor's bytes or a list of its type, of which, as in TensorFlow, the last
// one stands for all that are missing, and nothing for zeros.
absl::StatusOr<ParsedPredict> read_tensor(const proto::TensorProto& tensor, const RequestRules& rules);

}  // namespace lockstep
