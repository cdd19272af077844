// Bidirectional streams of frames (frame.h), below the code that gRPC generates, so that a hidden
// row is sent from the memory it was computed in.
//
// An EventLoop does the waiting. Reading looks as if it blocked, or runs on the loop's thread;
// writing never waits.
#ifndef BATON_PROTO_FRAME_STREAM_H_
#define BATON_PROTO_FRAME_STREAM_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "google/protobuf/message_lite.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/async_stream.h"
#include "grpcpp/support/byte_buffer.h"
#include "proto/event_loop.h"

namespace baton {

// One side of a stream. Held by shared pointers; its operations under way hold it too, so whoever
// lets go of a stream that has not ended must Cancel() it. Thread-safe; one thread at a time reads.
class FrameStream : public std::enable_shared_from_this<FrameStream> {
 public:
  using Frame = grpc::ByteBuffer;

  virtual ~FrameStream() = default;

  // Waits for a frame; false when the stream has ended.
  bool Read(Frame* frame);
  // The same; a stream on which none has come within `patience` is cancelled.
  bool ReadWithin(std::chrono::milliseconds patience, Frame* frame);
  // Calls `take` on the loop's thread for every frame, and returns when it has returned false or
  // the stream has ended.
  void ReadEach(const std::function<bool(const Frame& frame)>& take);

  // Sends the frame after those written before it: from the calling thread where none of them waits
  // for the peer, else from the loop's. `sent` is called on the loop's thread when the frame is on
  // its way, never when it could not be sent. False when the stream is known to be broken. There is
  // no bound on the frames that wait: the writers have one.
  bool Write(Frame frame, std::function<void()> sent = nullptr);
  // Refuses further frames, and waits until those that were written are on their way. After
  // `patience` it cancels the stream, because a peer that does not read lets nothing go.
  void FinishWriting(std::chrono::milliseconds patience);

  // Ends the stream in both directions, whatever is under way, and drops the frames that wait.
  void Cancel();

 protected:
  using Reader = grpc::internal::AsyncReaderInterface<Frame>;
  using Writer = grpc::internal::AsyncWriterInterface<Frame>;

  // gRPC's ends of the stream, which live as long as it does. Before anything is read or written.
  void SetEnds(Reader* reader, Writer* writer);
  // Frames wait for OnWritten(), as if one were under way already.
  void HoldWrites() { is_writing_ = true; }
  void OnWritten(bool ok);
  virtual void CancelCall() = 0;

 private:
  struct Outgoing {
    Frame frame;
    std::function<void()> sent;
  };

  void StartReading(const std::function<bool(const Frame& frame)>& take);
  void StartRead();
  void OnRead(bool ok);
  void WriteNext();
  void Close();

  Reader* reader_ = nullptr;
  Writer* writer_ = nullptr;
  EventLoop::Operation read_, write_;
  Frame incoming_;                                           // of the read under way
  const std::function<bool(const Frame&)>* take_ = nullptr;  // of the same

  Outgoing current_;  // of the write under way

  std::mutex mutex_;  // of what follows
  std::condition_variable read_ended_, writes_ended_;
  bool is_reading_ = false;
  bool is_writing_ = false;
  bool is_closed_ = false;  // to writers
  std::deque<Outgoing> outgoing_;
};

// The side that opened it.
class ClientFrameStream final : public FrameStream {
 public:
  // `method`: "/package.Service/Method".
  static std::shared_ptr<ClientFrameStream> Open(const std::shared_ptr<grpc::Channel>& channel,
                                                 const char* method, EventLoop& loop);
  // How the other side ended it. REQUIRES: a read has told of the end, or it is cancelled; called
  // once.
  grpc::Status Finish();

 private:
  void CancelCall() override { context_.TryCancel(); }

  grpc::ClientContext context_;  // gRPC keeps pointers: the context outlives the stream
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  EventLoop::Operation start_, finish_;
};

// Messages of protobuf alone, as generated code sends them: of at most kMaxControlBytes.
grpc::ByteBuffer EncodeMessage(const google::protobuf::MessageLite& message);
bool DecodeMessage(const grpc::ByteBuffer& frame, google::protobuf::MessageLite* message);

}  // namespace baton

#endif  // BATON_PROTO_FRAME_STREAM_H_
