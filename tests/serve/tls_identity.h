// SPDX-License-Identifier: Apache-2.0
// Who a server of a test says it is.
#pragma once

#include <string>

namespace lockstep {

// A key, and a certificate of "localhost" for it that it has signed itself; both PEM.
void write_identity(const std::string& certificate_path, const std::string& key_path);

}  // namespace lockstep
