// SPDX-License-Identifier: Apache-2.0
// One file from a URL (http, https, file), whole or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/base/status.h"

namespace lockstep {

struct DownloadOptions {
  int connect_timeout_s = 20;
  int stall_timeout_s = 30;    // without a byte
  int total_timeout_s = 1800;  // whatever happens
  uint64_t max_bytes = uint64_t{4} << 30;
  std::string sha256 = "";  // lower-case hex of the contents; empty: not checked
  // Bytes so far, and in all (0: not known). Called on the downloading thread.
  std::function<void(uint64_t done, uint64_t total)> on_progress = nullptr;
};

// Fetches `url` into `path` under a temporary name and renames it when it is complete and has the right checksum;
// returns its size. On failure `path` is as it was. Follows redirects between http and https. Errors name the URL.
// Thread-safe.
absl::StatusOr<uint64_t> download(const std::string& url, const std::string& path, const DownloadOptions& options);

}  // namespace lockstep
