#include "coordinator/scheduler/step_times.h"

#include <algorithm>
#include <bit>
#include <iterator>

namespace baton {
namespace {

// Of a new measurement in the average: old ones are forgotten within a few dozen steps, one
// disturbed step changes little.
constexpr double kWeightOfNew = 0.15;
// Of the average, that a new measurement counts to differ from it at most: a step may be disturbed
// for many times as long as it takes.
constexpr double kMostNews = 0.25;
// Steps of a size that show what it takes: the fastest of these, as others may be disturbed.
constexpr int kEnough = 4;
// Of the last so many lone steps the fastest shows the way; the others were disturbed.
constexpr size_t kLatencies = 16;

}  // namespace

void StepTimes::Add(int32_t rows, const std::vector<StageTiming>& stages, double round_trip_ms,
                    bool alone) {
  double slowest = 0;
  double all = 0;
  for (const StageTiming& stage : stages) {
    slowest = std::max(slowest, stage.compute_ms);
    all += stage.compute_ms;
  }
  AddTo(slowest_, rows, serial_ ? all : slowest);
  AddTo(all_, rows, all);
  if (!alone) return;
  latencies_.push_back(std::max(0.0, round_trip_ms - all));
  if (latencies_.size() > kLatencies) latencies_.pop_front();
  latency_ms_ = *std::min_element(latencies_.begin(), latencies_.end());
}

int StepTimes::BucketOf(int32_t rows) {
  if (rows < kExactRows) return rows;
  const int doublings = std::bit_width(static_cast<uint32_t>(rows / kExactRows)) - 1;
  const int quarter = rows / (kExactRows / 4 << doublings) - 4;
  return kExactRows + 4 * doublings + quarter;
}

void StepTimes::AddTo(Curve& curve, int32_t rows, double ms) {
  Average& average = curve[BucketOf(rows)];
  if (average.count++ == 0) {
    average.rows = rows;
    average.ms = ms;
    return;
  }
  average.rows += (rows - average.rows) * kWeightOfNew;
  if (average.count <= kEnough) {
    average.ms = std::min(average.ms, ms);
    return;
  }
  const double most = average.ms * kMostNews;
  average.ms += std::clamp(ms - average.ms, -most, most) * kWeightOfNew;
}

// Linear between what is measured; beyond it, in the proportion of weight_rows_. No step takes
// longer than twice one of half its rows: a slow measurement that would never be repeated, because
// steps of its size are then avoided, does not stand.
double StepTimes::At(const Curve& curve, double rows) const {
  const Average* below = nullptr;
  const Average* above = nullptr;
  for (const Average& average : curve) {
    if (average.count == 0) continue;
    if (average.rows <= rows) {
      below = &average;
    } else if (above == nullptr) {
      above = &average;
    }
  }
  if (below == nullptr && above == nullptr) return 0;
  if (below == nullptr) return above->ms * (rows + weight_rows_) / (above->rows + weight_rows_);
  double ms = below->ms;
  if (above != nullptr) {
    ms += (above->ms - below->ms) * (rows - below->rows) / (above->rows - below->rows);
  } else {
    ms *= (rows + weight_rows_) / (below->rows + weight_rows_);
  }
  const bool halves_are_known =
      below != &*std::find_if(curve.begin(), curve.end(),
                              [](const Average& average) { return average.count > 0; });
  return halves_are_known ? std::min(ms, 2 * At(curve, rows / 2)) : ms;
}

// At best a step takes no longer than a smaller one, and a row of it costs what one of a larger
// step does.
double StepTimes::SlowestStageAtBest(int32_t rows) const {
  const double known = SlowestStage(rows);
  const auto own = slowest_.begin() + BucketOf(rows);
  if (own->count >= kEnough) return known;
  const auto has_steps = [](const Average& average) { return average.count > 0; };
  const auto larger = std::find_if(own + 1, slowest_.end(), has_steps);
  const auto smaller = std::find_if(std::make_reverse_iterator(own), slowest_.rend(), has_steps);
  double least = 0;
  if (larger != slowest_.end()) least = larger->ms * rows / larger->rows;
  if (smaller != slowest_.rend()) least = std::max(least, smaller->ms);
  return least > 0 ? std::min(known, least) : known;
}

double StepTimes::RowsWithin(double ms, int32_t limit) const {
  int32_t most = 1;
  for (int32_t step = std::bit_floor(static_cast<uint32_t>(std::max(limit, 1))); step > 0;
       step /= 2) {
    if (most + step <= limit && SlowestStage(most + step) <= ms) most += step;
  }
  const double most_ms = SlowestStage(most), more_ms = SlowestStage(most + 1);
  if (most == limit || ms <= most_ms || more_ms <= most_ms) return most;
  return most + (ms - most_ms) / (more_ms - most_ms);
}

}  // namespace baton
