#include "proto/frame_stream.h"

#include <future>
#include <string>
#include <utility>

#include "grpcpp/support/proto_buffer_reader.h"
#include "grpcpp/support/slice.h"

namespace baton {

void FrameStream::SetEnds(Reader* reader, Writer* writer) {
  reader_ = reader;
  writer_ = writer;
}

bool FrameStream::Read(Frame* frame) {
  bool arrived = false;
  ReadEach([&](const Frame& incoming) {
    *frame = incoming;
    arrived = true;
    return false;
  });
  return arrived;
}

void FrameStream::ReadEach(const std::function<bool(const Frame& frame)>& take) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    is_reading_ = true;
  }
  take_ = &take;
  StartRead();
  std::unique_lock<std::mutex> lock(mutex_);
  read_ended_.wait(lock, [this] { return !is_reading_; });
}

void FrameStream::StartRead() {
  read_.done = [self = shared_from_this()](bool ok) { self->OnRead(ok); };
  reader_->Read(&incoming_, &read_);
}

void FrameStream::OnRead(bool ok) {
  if (ok && (*take_)(incoming_)) return StartRead();
  std::lock_guard<std::mutex> lock(mutex_);
  is_reading_ = false;
  read_ended_.notify_all();
}

bool FrameStream::Write(Frame frame, std::function<void()> sent) {
  const Frame* first = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (is_closed_) return false;
    outgoing_.push_back({std::move(frame), std::move(sent)});
    if (!std::exchange(is_writing_, true)) first = &outgoing_.front().frame;
  }
  // Not under the lock: this may be where the bytes go out.
  if (first != nullptr) StartWrite(*first);
  return true;
}

// `frame` stays where it is until OnWritten().
void FrameStream::StartWrite(const Frame& frame) {
  write_.done = [self = shared_from_this()](bool ok) {
    std::function<void()> sent;
    {
      std::lock_guard<std::mutex> lock(self->mutex_);
      sent = std::move(self->outgoing_.front().sent);
      self->outgoing_.pop_front();
    }
    self->OnWritten(ok);
    if (ok && sent) sent();
  };
  writer_->Write(frame, &write_);
}

void FrameStream::OnWritten(bool ok) {
  const Frame* next = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!ok) {
      is_closed_ = true;
      outgoing_.clear();
    }
    is_writing_ = !outgoing_.empty();
    if (is_writing_) next = &outgoing_.front().frame;
    if (!is_writing_) writes_ended_.notify_all();
  }
  if (next != nullptr) StartWrite(*next);
}

void FrameStream::FinishWriting(std::chrono::milliseconds patience) {
  std::unique_lock<std::mutex> lock(mutex_);
  is_closed_ = true;
  const auto is_idle = [this] { return !is_writing_; };
  if (writes_ended_.wait_for(lock, patience, is_idle)) return;
  lock.unlock();
  Cancel();
  lock.lock();
  writes_ended_.wait(lock, is_idle);
}

std::shared_ptr<ClientFrameStream> ClientFrameStream::Open(
    const std::shared_ptr<grpc::Channel>& channel, const char* method, EventLoop& loop) {
  auto opened = std::make_shared<ClientFrameStream>();
  opened->stream_ =
      grpc::GenericStub(channel).PrepareCall(&opened->context_, method, &loop.queue());
  opened->SetEnds(opened->stream_.get(), opened->stream_.get());
  opened->HoldWrites();
  opened->start_.done = [opened](bool ok) { opened->OnWritten(ok); };
  opened->stream_->StartCall(&opened->start_);
  return opened;
}

grpc::Status ClientFrameStream::Finish() {
  grpc::Status status;
  const auto finished = std::make_shared<std::promise<void>>();
  finish_.done = [finished](bool) { finished->set_value(); };
  stream_->Finish(&status, &finish_);
  finished->get_future().wait();
  return status;
}

grpc::ByteBuffer EncodeMessage(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

bool DecodeMessage(const grpc::ByteBuffer& frame, google::protobuf::MessageLite* message) {
  grpc::ByteBuffer bytes = frame;  // shares them
  grpc::ProtoBufferReader reader(&bytes);
  return reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
}

}  // namespace baton
