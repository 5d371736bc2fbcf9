// SPDX-License-Identifier: Apache-2.0
// One transfer of libcurl, for the sources of this library that use it.
#pragma once

#include <memory>

#include "core/base/status.h"

namespace lockstep {

struct CurlCleanup {
  void operator()(void* curl) const;
};
using CurlHandle = std::unique_ptr<void, CurlCleanup>;  // a CURL, which is void

// Without signals, which do not mix with threads. Thread-safe; a handle is of one thread at a time. Internal when there
// is no memory for it.
absl::StatusOr<CurlHandle> make_curl();

// What `reason`, the transfer's CURLOPT_ERRORBUFFER, says of its failure, or else what every failure of this CURLcode
// is.
const char* curl_reason(int code, const char* reason);

}  // namespace lockstep
