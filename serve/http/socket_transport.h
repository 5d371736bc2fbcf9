// SPDX-License-Identifier: Apache-2.0
// Connections over TCP, with or without TLS.
#pragma once

#include <memory>
#include <string>

#include "core/base/status.h"
#include "serve/http/transport.h"

namespace boost::asio {
class io_context;
namespace ssl {
class context;
}
}  // namespace boost::asio

namespace lockstep {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

// TLS 1.2 or later with this certificate (chain) and key, PEM files. The error names the file.
absl::StatusOr<TlsContext> make_tls_context(const std::string& certificate, const std::string& key);

// Takes over a connected, non-blocking socket; `tls` may be null. To be used on the thread that runs `context`, which
// outlives it.
std::unique_ptr<Transport> make_socket_transport(boost::asio::io_context& context, int socket, const TlsContext& tls);

}  // namespace lockstep
