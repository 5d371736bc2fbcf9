// SPDX-License-Identifier: Apache-2.0
#include "io/download.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <string_view>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "io/curl_handle.h"

namespace lockstep {
namespace {

// One download: what the callbacks of libcurl fill.
struct Transfer {
  const DownloadOptions& options;
  AtomicFile file;
  Sha256 hash;
  uint64_t bytes = 0;
  absl::Status error;  // why a callback stopped the transfer
};

size_t on_data(char* data, size_t size, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const std::string_view piece(data, size * count);
  transfer.bytes += piece.size();
  if (transfer.bytes > transfer.options.max_bytes) {
    transfer.error =
        absl::ResourceExhaustedError(fmt::format("more than the limit of {} bytes", transfer.options.max_bytes));
    return 0;
  }
  transfer.hash.update(piece.data(), piece.size());
  transfer.error = transfer.file.append(piece);
  return transfer.error.ok() ? piece.size() : 0;
}

int on_progress(void* context, curl_off_t total, curl_off_t done, curl_off_t, curl_off_t) {
  const auto& transfer = *static_cast<Transfer*>(context);
  transfer.options.on_progress(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
  return 0;
}

void set_limits(CURL* curl, const DownloadOptions& options) {
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, long{options.connect_timeout_s});
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, long{options.total_timeout_s});
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, long{options.stall_timeout_s});
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https,file");
  // A server must not be able to send us to a local file.
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
}

CURLcode perform(CURL* curl, const std::string& url, Transfer& transfer, char* reason) {
  set_limits(curl, transfer.options);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  if (transfer.options.on_progress) {
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  }
  return curl_easy_perform(curl);
}

}  // namespace

absl::StatusOr<uint64_t> download(const std::string& url, const std::string& path, const DownloadOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const CurlHandle curl, make_curl());
  LOCKSTEP_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  Transfer transfer{options, std::move(file), {}, 0, {}};
  char reason[CURL_ERROR_SIZE] = "";
  const CURLcode code = perform(curl.get(), url, transfer, reason);
  if (!transfer.error.ok()) return annotate(transfer.error, url);
  if (code != CURLE_OK) {
    return absl::UnavailableError(fmt::format("{}: download failed: {}", url, curl_reason(code, reason)));
  }
  const std::string digest = transfer.hash.hex_digest();
  if (!options.sha256.empty() && digest != options.sha256) {
    return absl::DataLossError(
        fmt::format("{}: SHA-256 of the {} bytes is {}, expected {}", url, transfer.bytes, digest, options.sha256));
  }
  LOCKSTEP_RETURN_IF_ERROR(transfer.file.commit());
  return transfer.bytes;
}

}  // namespace lockstep
