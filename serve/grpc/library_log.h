// SPDX-License-Identifier: Apache-2.0
// What the gRPC library says of itself.
#pragma once

namespace lockstep {

// From here on its errors are lines of our log, but few: clients cause most of them, and must not be able to fill a
// disk. The rest is dropped, unless the environment variable GRPC_VERBOSITY asks for it: then all goes where it did
// before. Thread-safe.
void take_over_library_log();

}  // namespace lockstep
