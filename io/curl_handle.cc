// SPDX-License-Identifier: Apache-2.0
#include "io/curl_handle.h"

#include <curl/curl.h>

namespace lockstep {

void CurlCleanup::operator()(void* curl) const { curl_easy_cleanup(curl); }

absl::StatusOr<CurlHandle> make_curl() {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  CurlHandle curl(initialised == CURLE_OK ? curl_easy_init() : nullptr);
  if (curl == nullptr) return absl::InternalError("libcurl does not start");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  return curl;
}

const char* curl_reason(int code, const char* reason) {
  return reason[0] != '\0' ? reason : curl_easy_strerror(static_cast<CURLcode>(code));
}

}  // namespace lockstep
