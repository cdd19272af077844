// Bidirectional streams of frames: gRPC's blocking streams below the generated code, so that a
// hidden row is sent from the memory it was computed in.
#ifndef BATON_PROTO_FRAME_STREAM_H_
#define BATON_PROTO_FRAME_STREAM_H_

#include <memory>
#include <mutex>

#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/sync_stream.h"

namespace baton {

// One thread may read while another writes.
using FrameServerStream = grpc::ServerReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
using FrameClientStream = grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

enum class Edge { kChain, kResults };

// `context` must outlive the stream.
std::unique_ptr<FrameClientStream> OpenEdge(Edge edge, grpc::Channel& channel,
                                            grpc::ClientContext& context);

// The serving side: one thread per stream, which ends when the function returns.
class EdgeService : public grpc::Service {
 public:
  EdgeService();
  virtual grpc::Status Serve(Edge edge, grpc::ServerContext& context,
                             FrameServerStream& stream) = 0;
};

// Writes to a stream that may go away while others still want to write to it.
template <typename Stream>
class SharedWriter {
 public:
  void Attach(Stream* stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    stream_ = stream;
  }
  void Detach() { Attach(nullptr); }
  // False when the stream is gone or broken.
  template <typename Message>
  bool Write(const Message& message) {
    std::lock_guard<std::mutex> lock(mutex_);
    return stream_ != nullptr && stream_->Write(message);
  }

 private:
  std::mutex mutex_;
  Stream* stream_ = nullptr;
};

}  // namespace baton

#endif  // BATON_PROTO_FRAME_STREAM_H_
