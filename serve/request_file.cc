// SPDX-License-Identifier: Apache-2.0
#include "serve/request_file.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <numeric>
#include <vector>

#include "core/base/file.h"
#include "kernels/images/images.h"
#include "serve/python_repr.h"

namespace lockstep {
namespace {

// Every value that a pixel can have, as text.
absl::StatusOr<std::array<std::string, 256>> pixel_texts() {
  std::array<uint8_t, 256> bytes;
  std::array<float, 256> values;
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  LOCKSTEP_RETURN_IF_ERROR(scale_images(KernelContext{}, bytes.size(), bytes.data(), values.data()));
  std::array<std::string, 256> texts;
  for (size_t i = 0; i < texts.size(); ++i) texts[i] = python_repr(static_cast<double>(values[i]));
  return texts;
}

}  // namespace

absl::StatusOr<std::string> request_lines(const RequestOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto data, open_dataset(options.data_dir, options.split, {}));
  if (options.count > data->size()) {
    return absl::InvalidArgumentError(fmt::format("{}: {} images asked for, but the {} set holds {}", options.data_dir,
                                                  options.count, split_name(options.split), data->size()));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const auto texts, pixel_texts());
  std::vector<uint8_t> image(static_cast<size_t>(data->shape().size()));
  std::string lines;
  for (int64_t i = 0; i < options.count; ++i) {
    int32_t label;
    LOCKSTEP_RETURN_IF_ERROR(data->read({&i, 1}, image.data(), &label));
    lines += "{\"inputs\": [";
    for (size_t k = 0; k < image.size(); ++k) {
      if (k > 0) lines += ", ";
      lines += texts[image[k]];
    }
    lines += "]}\n";
  }
  return lines;
}

absl::Status create_request(const RequestOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string lines, request_lines(options));
  if (options.output != "-") return write_file_atomic(options.output, lines);
  if (std::fwrite(lines.data(), 1, lines.size(), stdout) == lines.size() && std::fflush(stdout) == 0) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, "standard output: cannot write");
}

}  // namespace lockstep
