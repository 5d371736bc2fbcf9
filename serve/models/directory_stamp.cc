// SPDX-License-Identifier: Apache-2.0
#include "serve/models/directory_stamp.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "core/base/file.h"

namespace lockstep {
namespace {

constexpr int kLevels = 2, kMostFiles = 1000;

void add_stamp(const std::string& path, int levels, int& files, std::string& stamp) {
  struct stat info {};
  if (files++ >= kMostFiles || stat(path.c_str(), &info) != 0) return;
  stamp +=
      fmt::format("{}:{}:{}:{}.{:09};", path, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  if (!S_ISDIR(info.st_mode) || levels == 0) return;
  const auto names = list_directory(path);
  if (!names.ok()) return;
  for (const std::string& name : *names) add_stamp(join_path(path, name), levels - 1, files, stamp);
}

}  // namespace

std::string directory_stamp(const std::string& path) {
  std::string stamp;
  int files = 0;
  add_stamp(path, kLevels, files, stamp);
  return stamp;
}

}  // namespace lockstep
