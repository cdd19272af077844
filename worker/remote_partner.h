// The stage before the head's, as the head's stage reaches it: over an edge that the former has
// opened. Rows go one way, and logits come back in the same order.
#ifndef BATON_WORKER_REMOTE_PARTNER_H_
#define BATON_WORKER_REMOTE_PARTNER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/spin.h"
#include "engine/pipeline/stage.h"
#include "proto/convert.h"
#include "proto/frame_stream.h"
#include "proto/handshake.h"

namespace baton {

// Begin, Finish and TakeTimes are of one thread, the one that computes; the rest is thread-safe.
class RemotePartner final : public HeadPartner {
 public:
  // `config`, of the head's stage, outlives it.
  explicit RemotePartner(const StageConfig& config) : config_(config) {}

  // Serves the edge until it ends. Called once. Unavailable: the other stage is lost;
  // InvalidArgument: it has sent something wrong.
  absl::Status Serve(std::shared_ptr<FrameStream> stream);
  // Ends it for Begin and Finish, which return Unavailable from then on, as after a Serve.
  void Stop();
  bool has_ended() const { return has_ended_.load(); }

  absl::Status Begin(absl::Span<const float> rows, int64_t count) override;
  absl::StatusOr<std::vector<float>> Finish() override;

  // Since they were last taken: how long Finish has waited, and the other stage computed.
  struct Times {
    double wait_ms = 0;
    double compute_ms = 0;
  };
  Times TakeTimes();

 private:
  absl::Status Accept(const grpc::ByteBuffer& frame);

  const StageConfig& config_;
  std::atomic<bool> has_ended_{false};
  std::atomic<bool> is_ready_{false};  // Finish need not wait
  // Of the thread that computes.
  PoliteSpinner spinner_;
  Times times_;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::shared_ptr<FrameStream> stream_;
  std::deque<int64_t> asked_rows_;  // of requests that no logits have come for
  std::deque<HeadLogits> arrived_;
};

}  // namespace baton

#endif  // BATON_WORKER_REMOTE_PARTNER_H_
