// SPDX-License-Identifier: Apache-2.0
// How tests start `lockstep serve`.
#pragma once

namespace lockstep {

// The gRPC API at any free port. None under ThreadSanitizer, which does not see the locks inside the distribution's
// gRPC and takes what passes through it from thread to thread for races.
#ifdef LOCKSTEP_THREAD_SANITIZER
inline constexpr char kGrpcFlag[] = "--no_grpc";
#else
inline constexpr char kGrpcFlag[] = "--port=0";
#endif

}  // namespace lockstep
