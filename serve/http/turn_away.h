// SPDX-License-Identifier: Apache-2.0
// The end of a connection that there is no room for.
#pragma once

#include <string_view>

namespace lockstep {

// Answers 503, as far as the non-blocking socket takes that at once, and closes it. Over TLS, which would take round
// trips, it closes only. `date` as HttpDate makes it.
void turn_away(int socket, bool is_tls, std::string_view date);

}  // namespace lockstep
