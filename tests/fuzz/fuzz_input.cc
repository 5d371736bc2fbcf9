// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz_input.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "core/base/check.h"

namespace lockstep {

MemoryFile::MemoryFile(std::string_view content) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
  LOCKSTEP_CHECK_GE(fd_, 0);
  path_ = fmt::format("/proc/self/fd/{}", fd_);
  LOCKSTEP_CHECK_EQ(write(fd_, content.data(), content.size()), static_cast<ssize_t>(content.size()));
}

MemoryFile::~MemoryFile() { close(fd_); }

const TmpDir& scratch_directory() {
  static const TmpDir directory;
  return directory;
}

void write_scratch_file(const std::string& name, std::string_view content) {
  const std::string path = scratch_directory().file(name);
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::FILE* file = std::fopen(path.c_str(), "wb");
  LOCKSTEP_CHECK(file != nullptr);
  LOCKSTEP_CHECK_EQ(std::fwrite(content.data(), 1, content.size(), file), content.size());
  LOCKSTEP_CHECK_EQ(std::fclose(file), 0);
}

uint8_t take_byte(std::string_view& input) {
  if (input.empty()) return 0;
  const auto byte = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  return byte;
}

}  // namespace lockstep
