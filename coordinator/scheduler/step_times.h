// How long steps take, as measured: what the next ones are planned by.
#ifndef BATON_COORDINATOR_SCHEDULER_STEP_TIMES_H_
#define BATON_COORDINATOR_SCHEDULER_STEP_TIMES_H_

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "engine/pipeline/batch.h"

namespace baton {

// Rows whose arithmetic takes as long as reading the weights once, where a model's own number
// (engine/pipeline/step_work.h) is not known.
inline constexpr double kWeightRows = 8;

// Not thread-safe.
class StepTimes {
 public:
  // `serial`: the stages take turns, as those of one process do, and count as one. `weight_rows`:
  // until measured, a step of r rows is taken to cost as r + weight_rows.
  explicit StepTimes(bool serial, double weight_rows = kWeightRows)
      : serial_(serial), weight_rows_(weight_rows) {}

  double weight_rows() const { return weight_rows_; }

  // A step came back. `alone`: nothing else was in flight, so that its round trip shows how long
  // the way is.
  void Add(int32_t rows, const std::vector<StageTiming>& stages, double round_trip_ms, bool alone);

  // Of a step with this many rows, in milliseconds; 0 before anything is measured.
  double SlowestStage(int32_t rows) const { return At(slowest_, rows); }
  double AllStages(int32_t rows) const { return At(all_, rows); }
  // As SlowestStage; of steps that were hardly ever seen, the least that they can take by what
  // larger and smaller ones take. Whoever goes by it tries them out, and knows them then.
  double SlowestStageAtBest(int32_t rows) const;
  // From submission to result, when nothing is in the way.
  double RoundTrip(int32_t rows) const { return AllStages(rows) + latency_ms_; }

  // The most rows, up to `limit`, that keep the slowest stage busy for at most `ms`; at least 1.
  // Where that is between two numbers of rows, so is the result.
  double RowsWithin(double ms, int32_t limit) const;

 private:
  // A bucket for each number of rows below kExactRows, so that answers alone and answers with a few
  // prompt rows are told apart; four for each doubling from there on.
  static constexpr int32_t kExactRows = 32;
  static constexpr int kBuckets = kExactRows + 4 * 9;
  static_assert(kMaxBatchRows < kExactRows << 9);
  // Moving averages of the steps of a bucket.
  struct Average {
    double rows = 0;
    double ms = 0;
    int count = 0;  // of steps
  };
  using Curve = std::array<Average, kBuckets>;

  static int BucketOf(int32_t rows);
  static void AddTo(Curve& curve, int32_t rows, double ms);
  double At(const Curve& curve, double rows) const;

  const bool serial_;
  const double weight_rows_;
  Curve slowest_;
  Curve all_;
  double latency_ms_ = 0;
  std::deque<double> latencies_;  // of the last steps that were alone
};

}  // namespace baton

#endif  // BATON_COORDINATOR_SCHEDULER_STEP_TIMES_H_
