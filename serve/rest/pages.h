// SPDX-License-Identifier: Apache-2.0
// Files that are part of the program, as answers. Thread-safe.
#pragma once

#include "serve/console/console.h"
#include "serve/http/http_message.h"

namespace lockstep {

// 200, or 304 when the client says that it has this very content. Clients ask each time, so that they never show the
// page of another release; what the page may load or send comes from and goes to this server alone.
HttpResponse page_response(const HttpRequest& request, const ConsoleFile& page);

}  // namespace lockstep
