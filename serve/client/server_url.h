// SPDX-License-Identifier: Apache-2.0
// How a user names a server. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

struct ServerUrl {
  std::string base;          // "https://example.org:8501", without a slash at its end
  bool is_loopback = false;  // this machine, which no proxy can reach for us
};

// `localhost:8501`, `localhost`, `[::1]:8501`, `http://…`, `https://…`, with the path under which a proxy offers the
// server, if it does. Without a scheme it is http, at port 8501 unless one is named. InvalidArgument for anything else.
absl::StatusOr<ServerUrl> parse_server_url(std::string_view text);

}  // namespace lockstep
