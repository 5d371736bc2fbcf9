// SPDX-License-Identifier: Apache-2.0
// `lockstep request create`: test images as instances for prediction.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"
#include "io/batch_source.h"

namespace lockstep {

struct RequestOptions {
  std::string data_dir;  // as for open_dataset()
  Split split = Split::kTest;
  int64_t count = 10;                   // images, from the front
  std::string output = "request.json";  // "-": standard output
};

// The images as lines `{"inputs": [H * W * C numbers]}`, the bytes that the tutorial's script makes with Python's
// json.dumps: float32(pixel) * float32(1 / 255), widened to double, in the fewest digits. InvalidArgument when the
// split has fewer images.
absl::StatusOr<std::string> request_lines(const RequestOptions& options);

// The same to `options.output`: whole or not at all.
absl::Status create_request(const RequestOptions& options);

}  // namespace lockstep
