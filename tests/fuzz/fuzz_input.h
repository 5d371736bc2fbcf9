// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share: readers take paths, a fuzzer gives bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/support/tmp_dir.h"

namespace lockstep {

// A file of this content in memory, gone with the object.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

// One directory per process, for readers that look for several files. Removed at the end of the process.
const TmpDir& scratch_directory();
// Creates or replaces a file there; directories on the way are made.
void write_scratch_file(const std::string& name, std::string_view content);

// Takes the first byte of the input, by which targets choose what to do with the rest; 0 when there is none.
uint8_t take_byte(std::string_view& input);

}  // namespace lockstep
