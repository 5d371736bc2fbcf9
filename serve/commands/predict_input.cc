// SPDX-License-Identifier: Apache-2.0
#include "serve/commands/predict_input.h"

#include <unistd.h>

#include "core/base/file.h"
#include "core/base/named_file.h"

namespace lockstep {
namespace {

constexpr uint64_t kMaxInputBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxPictureBytes = uint64_t{1} << 28;

}  // namespace

std::string input_name(const std::string& path) { return path == "-" ? "standard input" : path; }

absl::StatusOr<std::string> read_input(const std::string& path, std::string_view expected) {
  if (path == "-") return read_descriptor(STDIN_FILENO, input_name(path), kMaxInputBytes);
  return read_named_file(path, kMaxInputBytes, expected);
}

absl::StatusOr<std::string> read_picture(const std::string& path) {
  if (path == "-") return read_descriptor(STDIN_FILENO, input_name(path), kMaxPictureBytes);
  return read_named_file(path, kMaxPictureBytes, "a PNG");
}

}  // namespace lockstep
