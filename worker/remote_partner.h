// The stage before the head's, as the head's stage reaches it: over an edge that the former has
// opened. Rows go one way, and logits come back in the same order.
#ifndef BATON_WORKER_REMOTE_PARTNER_H_
#define BATON_WORKER_REMOTE_PARTNER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/pipeline/stage.h"
#include "proto/convert.h"
#include "proto/frame_stream.h"
#include "proto/handshake.h"

namespace baton {

// Thread-safe.
class RemotePartner final : public HeadPartner {
 public:
  // `config`, of the head's stage, outlives it.
  explicit RemotePartner(const StageConfig& config) : config_(config) {}

  // Serves the edge until it ends. Called once. Unavailable: the other stage is lost;
  // InvalidArgument: it has sent something wrong.
  absl::Status Serve(std::shared_ptr<FrameStream> stream);
  // Has Finish return Unavailable from then on, as after a Serve.
  void Stop();
  bool has_ended() const { return has_ended_.load(); }

  absl::StatusOr<int64_t> Begin(HeadRequest request) override;
  absl::StatusOr<HeadShare> Finish(int64_t request) override;
  // Whether all that was asked is there, so that Finish would not wait. Takes no lock.
  bool is_ready() const { return waiting_for_ == 0 || has_ended(); }

  // On this thread, since it last took them: how long Finish has waited, and the other stage
  // computed.
  struct Times {
    double wait_ms = 0;
    double compute_ms = 0;
  };
  static Times TakeTimes();

 private:
  // What a request asked for.
  struct Asked {
    int64_t rows;
    int32_t candidates;
  };

  absl::Status Accept(const grpc::ByteBuffer& frame);

  const StageConfig& config_;
  std::atomic<bool> has_ended_{false};
  std::atomic<int> waiting_for_{0};  // requests

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::shared_ptr<FrameStream> stream_;
  int64_t next_request_ = 0;
  std::deque<Asked> asked_;  // that no logits have come for
  std::map<int64_t, HeadReply> arrived_;
};

}  // namespace baton

#endif  // BATON_WORKER_REMOTE_PARTNER_H_
