// SPDX-License-Identifier: Apache-2.0
#include "io/http_post.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>

#include "io/curl_handle.h"

namespace lockstep {
namespace {

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlList = std::unique_ptr<curl_slist, FreeList>;

// What libcurl's callback fills.
struct Receiving {
  uint64_t most_bytes = 0;
  std::string body;
  bool is_too_large = false;
};

size_t on_data(char* data, size_t size, size_t count, void* context) {
  auto& receiving = *static_cast<Receiving*>(context);
  const size_t bytes = size * count;
  receiving.is_too_large = bytes > receiving.most_bytes - receiving.body.size();
  if (receiving.is_too_large) return 0;
  receiving.body.append(data, bytes);
  return bytes;
}

void set_limits(CURL* curl, const HttpPostOptions& options) {
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, long{options.connect_timeout.count()});
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, long{options.timeout.count()});
  curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(options.max_answer_bytes));
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
}

void set_security(CURL* curl, const HttpPostOptions& options) {
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  if (!options.ca_file.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
  }
  if (!options.bearer_token.empty()) {
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, long{CURLAUTH_BEARER});
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, options.bearer_token.c_str());
  }
  if (!options.use_proxy) curl_easy_setopt(curl, CURLOPT_PROXY, "");
}

bool is_connected(CURL* curl) {
  curl_off_t connect_us = 0;
  return curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &connect_us) == CURLE_OK && connect_us > 0;
}

absl::StatusCode status_code(CURL* curl, CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return absl::StatusCode::kUnavailable;
    case CURLE_OPERATION_TIMEDOUT:
      return is_connected(curl) ? absl::StatusCode::kDeadlineExceeded : absl::StatusCode::kUnavailable;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_PEER_FAILED_VERIFICATION:
      return absl::StatusCode::kPermissionDenied;
    case CURLE_FILESIZE_EXCEEDED:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kDataLoss;
  }
}

}  // namespace

absl::StatusOr<HttpAnswer> http_post(const std::string& url, std::string_view body, const HttpPostOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const CurlHandle curl, make_curl());
  const CurlList headers(curl_slist_append(nullptr, "Content-Type: application/json"));
  if (headers == nullptr) return absl::InternalError("libcurl does not start");
  set_limits(curl.get(), options);
  set_security(curl.get(), options);
  Receiving receiving{.most_bytes = options.max_answer_bytes, .body = {}};
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PATH_AS_IS, 1L);  // what a server makes of "/../" is its own affair
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &receiving);
  const CURLcode code = curl_easy_perform(curl.get());
  if (receiving.is_too_large || code == CURLE_FILESIZE_EXCEEDED) {
    return absl::ResourceExhaustedError(
        fmt::format("the answer is larger than {} bytes, the most that is taken", options.max_answer_bytes));
  }
  if (code != CURLE_OK) {
    return absl::Status(status_code(curl.get(), code), curl_reason(code, reason));
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  return HttpAnswer{static_cast<int>(status), std::move(receiving.body)};
}

}  // namespace lockstep
