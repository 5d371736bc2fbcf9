// SPDX-License-Identifier: Apache-2.0
// Data sets held in memory; open_dataset() in batch_source.h opens those in files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/batch_source.h"

namespace lockstep {

// images: (N, H, W, C), labels: (N), each at least 0. `source` says where they come from.
std::unique_ptr<Dataset> make_resident_dataset(const ImageShape& shape, std::vector<uint8_t> images,
                                               std::vector<int32_t> labels, std::string source);

}  // namespace lockstep
