// SPDX-License-Identifier: Apache-2.0
// The end of a connection that is not served.
#pragma once

#include <string_view>

#include "serve/http/http_message.h"

namespace lockstep {

// The last answer, as far as the non-blocking socket takes it at once; closing the socket is left to the caller.
// `date` as HttpDate makes it.
void send_last_answer(int socket, HttpResponse response, std::string_view date);

// Answers 503, as far as the non-blocking socket takes that at once, and closes it. Over TLS, which would take round
// trips, it closes only.
void turn_away(int socket, bool is_tls, std::string_view date);

}  // namespace lockstep
