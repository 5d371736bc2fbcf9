// SPDX-License-Identifier: Apache-2.0
// Small input files of the io tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "io/gzip_reader.h"

namespace lockstep {

// Writes `bytes` to `path`, replacing what is there.
void write_bytes(const std::string& path, std::string_view bytes);
std::string read_bytes(const std::string& path);

// `bytes` wrapped as one gzip member or zlib stream.
std::string compressed(std::string_view bytes, Compression compression);

// A whole IDX file: magic of uint8 with these dimensions, then `payload`.
std::string idx_bytes(const std::vector<uint32_t>& dimensions, std::string_view payload);

// `bytes` pseudo-random bytes that depend on `seed` alone.
std::string noise(size_t bytes, uint64_t seed);

// Writes the four IDX files of `train` + `test` random 4x3 images with labels below 10 into `directory`.
void write_idx_directory(const std::string& directory, int train, int test, bool gzip);

// Message of a bad status, "" of a good one.
std::string message_of(const absl::Status& status);

}  // namespace lockstep
