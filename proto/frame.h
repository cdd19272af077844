// A frame: a small message in front, floats as raw bytes behind it.
//
//   [header bytes, u32 little-endian][header, a protobuf message][payload, f32 little-endian]
#ifndef BATON_PROTO_FRAME_H_
#define BATON_PROTO_FRAME_H_

#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"

namespace baton {

// Takes the payload: gRPC sends from its memory, without a copy.
grpc::ByteBuffer EncodeFrame(const google::protobuf::MessageLite& header,
                             std::vector<float> payload = {});

// InvalidArgument for a frame that is cut off, whose header does not parse or whose parts exceed
// kMaxHeaderBytes and kMaxPayloadBytes, saying what was found. `payload` may be null where there
// must be none.
absl::Status DecodeFrame(const grpc::ByteBuffer& frame, google::protobuf::MessageLite* header,
                         std::vector<float>* payload);

}  // namespace baton

#endif  // BATON_PROTO_FRAME_H_
