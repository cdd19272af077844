#include "proto/frame_stream.h"

#include "grpcpp/impl/codegen/method_handler.h"
#include "grpcpp/impl/codegen/rpc_service_method.h"
#include "grpcpp/impl/rpc_method.h"

namespace baton {
namespace {

constexpr auto kBidi = grpc::internal::RpcMethod::BIDI_STREAMING;

const char* MethodName(Edge edge) {
  return edge == Edge::kChain ? "/baton.wire.Edges/Chain" : "/baton.wire.Edges/Results";
}

}  // namespace

std::unique_ptr<FrameClientStream> OpenEdge(Edge edge, grpc::Channel& channel,
                                            grpc::ClientContext& context) {
  using Factory = grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>;
  const grpc::internal::RpcMethod method(MethodName(edge), kBidi);
  return std::unique_ptr<FrameClientStream>(Factory::Create(&channel, method, &context));
}

EdgeService::EdgeService() {
  using Handler =
      grpc::internal::BidiStreamingHandler<EdgeService, grpc::ByteBuffer, grpc::ByteBuffer>;
  for (const Edge edge : {Edge::kChain, Edge::kResults}) {
    AddMethod(new grpc::internal::RpcServiceMethod(
        MethodName(edge), kBidi,
        new Handler(
            [edge](EdgeService* service, grpc::ServerContext* context, FrameServerStream* stream) {
              return service->Serve(edge, *context, *stream);
            },
            this)));
  }
}

}  // namespace baton
