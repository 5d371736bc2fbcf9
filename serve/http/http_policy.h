// SPDX-License-Identifier: Apache-2.0
// What a server decides by a request's head alone, apart from the library that reads it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serve/http/http_message.h"
#include "serve/http/http_server.h"

namespace lockstep {

// {"error": message} with this status, as every error is answered.
HttpResponse http_error(int status, std::string_view message);

// Splits a target into `path` (percent-decoded) and `query`. False when it is neither "/…" nor a full URL, or holds a
// malformed escape, a control character or a NUL.
bool split_target(std::string_view target, std::string& path, std::string& query);

// Whether a Host header is name[:port] (RFC 9112, 3.2), as which an empty one counts too.
bool is_sound_host(std::string_view host);

// The head of a request without its body: an answer that makes reading on unnecessary (421 for another host, 401
// without the token, 415 for a compressed body, 204 for a preflight of another origin's page), or none.
std::optional<HttpResponse> answer_to_head(const HttpRequest& head, const HttpServerOptions& options);

// Headers that every answer carries, by `options` and the request's origin; each with its CR LF.
std::string common_headers(const HttpRequest& head, const HttpServerOptions& options);

// Of ASCII letters.
bool equal_ignoring_case(std::string_view a, std::string_view b);

// Compares all of both, however early they differ, so that times tell nothing of the secret.
bool equal_secrets(std::string_view a, std::string_view b);
// Whether an Authorization header is "Bearer TOKEN".
bool is_bearer(std::string_view authorization, std::string_view token);

}  // namespace lockstep
