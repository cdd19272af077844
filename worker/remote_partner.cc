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

// The other stage answers between two products of a step, or at once where it waits itself.
constexpr std::chrono::milliseconds kAwake{20};

}  // namespace

absl::Status RemotePartner::Serve(std::shared_ptr<FrameStream> stream) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stream_ = stream;
  }
  stream->Write(EncodeFrame(wire::HeadRows()));
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
  is_ready_ = true;
  changed_.notify_all();
}

absl::Status RemotePartner::Accept(const grpc::ByteBuffer& frame) {
  int64_t rows;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (asked_rows_.empty()) return absl::InvalidArgumentError("logits came that nobody asked for");
    rows = asked_rows_.front();
    asked_rows_.pop_front();
  }
  ASSIGN_OR_RETURN(HeadLogits logits, DecodeHeadLogits(frame, config_, rows));
  std::lock_guard<std::mutex> lock(mutex_);
  arrived_.push_back(std::move(logits));
  is_ready_ = true;
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status RemotePartner::Begin(absl::Span<const float> rows, int64_t count) {
  std::shared_ptr<FrameStream> stream;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stream = stream_;
    if (stream != nullptr) asked_rows_.push_back(count);
  }
  if (stream == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("stage ", config_.stage_index - 1, " shares the head and has not connected"));
  }
  // Where the stream is broken, Serve ends.
  stream->Write(EncodeHeadRows({rows.begin(), rows.end()}, count));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> RemotePartner::Finish() {
  const Clock::time_point start = Clock::now();
  spinner_.Wait(kAwake, [this] { return is_ready_.load(std::memory_order_acquire); });
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return is_ready_.load(); });
  if (has_ended()) return absl::UnavailableError("the stage that shares the head is lost");
  times_.wait_ms += Milliseconds(Clock::now() - start).count();
  HeadLogits logits = std::move(arrived_.front());
  arrived_.pop_front();
  is_ready_ = !arrived_.empty();
  times_.compute_ms += logits.compute_ms;
  return std::move(logits.logits);
}

RemotePartner::Times RemotePartner::TakeTimes() { return std::exchange(times_, {}); }

}  // namespace baton
