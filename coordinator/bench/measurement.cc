#include "coordinator/bench/measurement.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace baton {

std::string BenchTest::Name() const {
  std::string name =
      prompt_tokens > 0 ? absl::StrCat("pp", prompt_tokens) : absl::StrCat("tg", generated_tokens);
  if (sequence_count > 1) absl::StrAppend(&name, " x ", sequence_count);
  if (depth > 0) absl::StrAppend(&name, " @ d", depth);
  return name;
}

StepShape BenchTest::Shape() const {
  StepShape shape;
  shape.logit_count = sequence_count;
  shape.sequence_count = sequence_count;
  if (prompt_tokens > 0) {
    shape.row_count = token_count();
    shape.read_positions = double(depth + prompt_tokens) * sequence_count;
  } else {
    shape.row_count = sequence_count;
    shape.read_positions = (depth + (generated_tokens + 1) / 2.0) * sequence_count;
  }
  return shape;
}

std::vector<BenchTest> ListTests(const BenchMatrix& matrix) {
  std::vector<BenchTest> tests;
  for (const int32_t depth : matrix.depths) {
    for (const int32_t sequences : matrix.sequence_counts) {
      for (const int32_t tokens : matrix.prompt_tokens) {
        if (tokens > 0) tests.push_back({tokens, 0, sequences, depth});
      }
      for (const int32_t tokens : matrix.generated_tokens) {
        if (tokens > 0) tests.push_back({0, tokens, sequences, depth});
      }
    }
  }
  return tests;
}

const char* LimitName(LimitKind kind) {
  switch (kind) {
    case LimitKind::kInt8:
      return "int8";
    case LimitKind::kF32:
      return "f32";
    case LimitKind::kBandwidth:
      return "bandwidth";
  }
  return "";
}

const char* LimitUnit(LimitKind kind) { return kind == LimitKind::kBandwidth ? "GB/s" : "Gop/s"; }

std::optional<Limit> NearestLimit(const StepWork& work, double seconds,
                                  const HardwarePeaks& peaks) {
  constexpr double kGiga = 1e9;
  const auto time = [](double amount, double rate) { return rate > 0 ? amount / rate : 0; };
  const double int8_time = time(work.int8_operations, peaks.int8_operations);
  const double f32_time = time(work.f32_operations, peaks.f32_operations);
  const double read_time = time(work.read_bytes, peaks.read_bytes);
  const double least = std::max(int8_time + f32_time, read_time);
  if (least <= 0 || seconds <= 0) return std::nullopt;
  if (read_time == least) {
    return Limit{LimitKind::kBandwidth, peaks.read_bytes / kGiga, least / seconds};
  }
  if (int8_time >= f32_time) {
    return Limit{LimitKind::kInt8, peaks.int8_operations / kGiga, least / seconds};
  }
  return Limit{LimitKind::kF32, peaks.f32_operations / kGiga, least / seconds};
}

double BenchResult::Mean() const {
  return std::accumulate(tokens_per_second.begin(), tokens_per_second.end(), 0.0) /
         static_cast<double>(tokens_per_second.size());
}

double BenchResult::StandardDeviation() const {
  if (tokens_per_second.size() < 2) return 0;
  const double mean = Mean();
  double sum = 0;
  for (const double value : tokens_per_second) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / static_cast<double>(tokens_per_second.size() - 1));
}

double Median(std::vector<double> values) {
  CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace baton
