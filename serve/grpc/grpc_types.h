// SPDX-License-Identifier: Apache-2.0
// Names of the gRPC library, whose headers are for sources alone.
#pragma once

namespace grpc {
class ByteBuffer;
class GenericCallbackServerContext;
template <typename Request, typename Response>
class ServerBidiReactor;
}  // namespace grpc

namespace lockstep {

// One call from its head to its end; deletes itself then.
using GrpcReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

}  // namespace lockstep
