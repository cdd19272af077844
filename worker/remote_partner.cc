#include "worker/remote_partner.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "proto/frame.h"
#include "proto/wire.pb.h"

namespace baton {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

thread_local RemotePartner::Times times_of_thread;

}  // namespace

absl::Status RemotePartner::Serve(std::shared_ptr<FrameStream> stream) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stream_ = stream;
  }
  stream->Write(EncodeFrame(wire::HeadRequest()));
  absl::Status wrong;
  stream->ReadEach([&](const grpc::ByteBuffer& frame) {
    wrong = Accept(frame);
    return wrong.ok();
  });
  Stop();
  RETURN_IF_ERROR(wrong);
  return absl::UnavailableError(absl::StrCat("stage ", config_.stage_index,
                                             " lost the stage that shares the head, stage ",
                                             config_.stage_index - 1));
}

void RemotePartner::Stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  has_ended_ = true;
  changed_.notify_all();
}

absl::Status RemotePartner::Accept(const grpc::ByteBuffer& frame) {
  Asked asked;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (asked_.empty()) return absl::InvalidArgumentError("logits came that nobody asked for");
    asked = asked_.front();
  }
  ASSIGN_OR_RETURN(HeadReply reply, DecodeHeadReply(frame, config_, asked.rows, asked.candidates));
  std::lock_guard<std::mutex> lock(mutex_);
  arrived_.emplace(next_request_ - asked_.size(), std::move(reply));
  asked_.pop_front();
  --waiting_for_;
  changed_.notify_all();
  return absl::OkStatus();
}

absl::StatusOr<int64_t> RemotePartner::Begin(HeadRequest request) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stream_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("stage ", config_.stage_index - 1, " shares the head and has not connected"));
  }
  asked_.push_back({request.count, request.candidates});
  ++waiting_for_;
  // Where the stream is broken, Serve ends.
  stream_->Write(EncodeHeadRequest(std::move(request)));
  return next_request_++;
}

absl::StatusOr<HeadShare> RemotePartner::Finish(int64_t request) {
  const Clock::time_point start = Clock::now();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return has_ended() || arrived_.count(request) > 0; });
  if (has_ended()) return absl::UnavailableError("the stage that shares the head is lost");
  HeadReply reply = std::move(arrived_.extract(request).mapped());
  times_of_thread.wait_ms += Milliseconds(Clock::now() - start).count();
  times_of_thread.compute_ms += reply.compute_ms;
  return std::move(reply.share);
}

RemotePartner::Times RemotePartner::TakeTimes() { return std::exchange(times_of_thread, {}); }

}  // namespace baton
