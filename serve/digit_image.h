// SPDX-License-Identifier: Apache-2.0
// Pictures of any size to what a network was trained on. Pure functions, thread-safe.
//
// Networks of depth 1 get a digit as MNIST was made (http://yann.lecun.com/exdb/mnist): the ink, bright on black, is
// cut out, scaled with its aspect kept until its longer side fills 20 of 28 pixels, with grey levels from averaging,
// and shifted so that its centre of mass lies at the centre of the image. A test image of MNIST comes out as it went
// in. Other sizes of input keep the proportion 20/28. Networks of depth 3 get the whole picture, scaled, no more.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "io/batch_source.h"
#include "io/png_reader.h"

namespace lockstep {

struct PreparedImage {
  std::vector<uint8_t> pixels;  // (H, W, C) of the network's input
  std::string how;              // "280x280 RGB, dark on light, digit of 96x180 scaled to 11x20 and centred"
};

// Whether the ink is dark or light is decided by the border of the picture, which is taken for background: of one grey
// level, or growing evenly lighter in some direction; transparent parts are background too. Ink that is as light as the
// background is told by its colour. InvalidArgument when nothing stands out ("blank"), when the border itself is not
// plain, or for an input that is neither grey nor RGB. `name` is for messages.
absl::StatusOr<PreparedImage> prepare_image(const PngImage& image, const ImageShape& input, const std::string& name);

}  // namespace lockstep
