// SPDX-License-Identifier: Apache-2.0
// tf.Examples to the numbers that a network takes. Thread-safe. Errors are InvalidArgument.
#pragma once

#include "core/base/status.h"
#include "serve/requests/parsed_predict.h"

namespace tensorflow::serving {
class Input;
}

namespace lockstep {

// Of each example the feature `inputs`: H * W * C floats, or one value of bytes, which is a PNG or H * W * C bytes. An
// example without it has that of the context.
absl::StatusOr<ParsedPredict> read_examples(const tensorflow::serving::Input& input, const RequestRules& rules);

}  // namespace lockstep
