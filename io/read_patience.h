// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "core/base/status.h"

namespace lockstep {

// How long a consumer waits for its reader.
struct ReadPatience {
  // Without any file activity of the process (file.h): a slow disk has time, one that hangs has not.
  double timeout_s = 60;
  // Called several times a second while waiting, with the seconds since the last file activity. An error ends the wait.
  std::function<absl::Status(double idle_s)> on_wait = [](double) { return absl::OkStatus(); };
};

}  // namespace lockstep
