#include "proto/frame_stream.h"

#include <future>
#include <string>
#include <utility>

#include "grpcpp/support/proto_buffer_reader.h"
#include "grpcpp/support/slice.h"
#include "proto/bounds.h"

namespace baton {
namespace {

std::function<bool(const FrameStream::Frame&)> TakeOne(FrameStream::Frame* frame, bool* arrived) {
  return [=](const FrameStream::Frame& incoming) {
    *frame = incoming;
    *arrived = true;
    return false;
  };
}

}  // namespace

void FrameStream::SetEnds(Reader* reader, Writer* writer) {
  reader_ = reader;
  writer_ = writer;
}

bool FrameStream::Read(Frame* frame) {
  bool arrived = false;
  ReadEach(TakeOne(frame, &arrived));
  return arrived;
}

bool FrameStream::ReadWithin(std::chrono::milliseconds patience, Frame* frame) {
  bool arrived = false;
  const auto take = TakeOne(frame, &arrived);
  StartReading(take);
  const auto has_ended = [this] { return !is_reading_; };
  std::unique_lock<std::mutex> lock(mutex_);
  if (read_ended_.wait_for(lock, patience, has_ended)) return arrived;
  lock.unlock();
  Cancel();
  lock.lock();
  read_ended_.wait(lock, has_ended);
  return false;
}

void FrameStream::ReadEach(const std::function<bool(const Frame& frame)>& take) {
  StartReading(take);
  std::unique_lock<std::mutex> lock(mutex_);
  read_ended_.wait(lock, [this] { return !is_reading_; });
}

void FrameStream::StartReading(const std::function<bool(const Frame& frame)>& take) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    is_reading_ = true;
  }
  take_ = &take;
  StartRead();
}

void FrameStream::StartRead() {
  read_.done = [self = shared_from_this()](bool ok) { self->OnRead(ok); };
  reader_->Read(&incoming_, &read_);
}

void FrameStream::OnRead(bool ok) {
  const bool goes_on = ok && (*take_)(incoming_);
  incoming_.Clear();
  if (goes_on) return StartRead();
  std::lock_guard<std::mutex> lock(mutex_);
  is_reading_ = false;
  read_ended_.notify_all();
}

bool FrameStream::Write(Frame frame, std::function<void()> sent) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (is_closed_) return false;
    outgoing_.push_back({std::move(frame), std::move(sent)});
    if (std::exchange(is_writing_, true)) return true;
  }
  WriteNext();
  return true;
}

// Of whoever has set is_writing_. gRPC is not called under the lock: there the bytes may go out.
void FrameStream::WriteNext() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (outgoing_.empty()) {
      is_writing_ = false;
      writes_ended_.notify_all();
      return;
    }
    current_ = std::move(outgoing_.front());
    outgoing_.pop_front();
  }
  write_.done = [self = shared_from_this()](bool ok) {
    const Outgoing written = std::exchange(self->current_, {});
    if (ok && written.sent) written.sent();
    self->OnWritten(ok);
  };
  writer_->Write(current_.frame, &write_);
}

void FrameStream::OnWritten(bool ok) {
  if (!ok) Close();
  WriteNext();
}

void FrameStream::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  is_closed_ = true;
  outgoing_.clear();
}

void FrameStream::Cancel() {
  Close();
  CancelCall();
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
  if (frame.Length() > kMaxControlBytes) return false;
  grpc::ByteBuffer bytes = frame;  // shares them
  grpc::ProtoBufferReader reader(&bytes);
  return reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
}

}  // namespace baton
