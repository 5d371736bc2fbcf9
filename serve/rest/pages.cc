// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/pages.h"

#include <string>

namespace lockstep {
namespace {

// If-None-Match: a list of tags, weak ones among them, or "*" (RFC 9110, 13.1.2).
bool has_tag(std::string_view header, std::string_view etag) {
  return header == "*" || (!etag.empty() && header.find(etag) != std::string_view::npos);
}

}  // namespace

HttpResponse page_response(const HttpRequest& request, const ConsoleFile& page) {
  HttpResponse response;
  response.content_type = std::string(page.content_type);
  response.headers = {{"etag", std::string(page.etag)},
                      {"cache-control", "no-cache"},
                      {"x-content-type-options", "nosniff"},
                      {"content-security-policy",
                       "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; "
                       "frame-ancestors 'none'"}};
  if (has_tag(request.header("if-none-match"), page.etag)) {
    response.status = 304;
  } else {
    response.body = std::string(page.content);
  }
  return response;
}

}  // namespace lockstep
