// SPDX-License-Identifier: Apache-2.0
// Image and label in a serialised tf.train.Example (docs/formats/tfrecord.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "io/batch_source.h"

namespace lockstep {

// What training needs of an Example. `image_raw` points into the parsed bytes.
struct ExampleView {
  std::string_view image_raw;
  int64_t label = 0;
  std::optional<int64_t> height, width, depth;
};

// Parses by key, in any order: `image_raw` (one bytes value) and `label` (one int64) must be there; `height`, `width`
// and `depth` (one int64 each) may be; any other key and unknown field is skipped. Integers may be packed or not, and
// of two entries with one key the last one counts, as in protobuf. Errors name the key or the byte offset in the
// record.
absl::StatusOr<ExampleView> parse_example(std::string_view bytes);

// The size of the image, whose product must be the length of image_raw. A missing depth is 1; when height and width are
// both missing the image must be a square.
absl::StatusOr<ImageShape> example_shape(const ExampleView& example);

// Appends the serialised Example with the five keys of the tutorial's records, in the order of protobuf's deterministic
// serialisation (sorted: depth, height, image_raw, label, width): 875 bytes for an MNIST image.
void append_example(const ImageShape& shape, int64_t label, std::string_view image_raw, std::string& out);

}  // namespace lockstep
