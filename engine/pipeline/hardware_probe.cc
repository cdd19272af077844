#include "engine/pipeline/hardware_probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace baton {
namespace {

using Clock = std::chrono::steady_clock;

// Long enough that waking a thread is nothing beside it.
constexpr std::chrono::milliseconds kArithmeticTime{20};
constexpr int64_t kRoundsPerClock = 1 << 12;
// Bytes of one measurement of memory, at least: milliseconds.
constexpr uint64_t kMinBytesPerMeasurement = uint64_t{64} << 20;
constexpr int kStreamCounts[] = {1, 2, kMaxProbeStreams};
constexpr int64_t kPrefetchBytes[] = {0, 1 << 10, 2 << 10, 4 << 10, 8 << 10};
// How many of the layouts are measured again: those that may win when the machine's mood changes.
constexpr size_t kKeptLayouts = 3;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<HardwareProbe>> HardwareProbe::Create(Isa isa, int thread_count,
                                                                     uint64_t read_bytes) {
  CHECK(CpuSupports(isa) && thread_count >= 1);
  // Every thread has the same number of floats, in every number of streams.
  const uint64_t unit = thread_count * kMaxProbeStreams * kProbeReadFloats * sizeof(float);
  const uint64_t bytes = std::max(std::min(read_bytes, kMaxProbeBytes) / unit, uint64_t{1}) * unit;
  AlignedBuffer buffer(bytes);
  if (buffer.data() == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", bytes, " bytes to measure the speed of memory with"));
  }
  // Pages that were never written are one and the same page of zeros.
  std::fill_n(buffer.as<float>(), bytes / sizeof(float), 1.0f);
  return std::unique_ptr<HardwareProbe>(new HardwareProbe(isa, thread_count, std::move(buffer)));
}

HardwareProbe::HardwareProbe(Isa isa, int thread_count, AlignedBuffer buffer)
    : kernels_(KernelsFor(isa)), pool_(thread_count), buffer_(std::move(buffer)) {
  for (const int streams : kStreamCounts) {
    for (const int64_t prefetch : kPrefetchBytes) layouts_.push_back({streams, prefetch, 0});
  }
}

double HardwareProbe::OperationsPerSecond(int64_t (*run)(int64_t rounds)) {
  if (run == nullptr) return 0;
  std::atomic<int64_t> operations{0};
  const Clock::time_point start = Clock::now();
  pool_.Run(pool_.thread_count(), [&](int64_t, int) {
    int64_t done = 0;
    while (Clock::now() - start < kArithmeticTime) done += run(kRoundsPerClock);
    operations.fetch_add(done, std::memory_order_relaxed);
  });
  return static_cast<double>(operations.load()) / SecondsSince(start);
}

double HardwareProbe::ReadBytesPerSecond() {
  for (Layout& layout : layouts_) layout.bytes_per_second = ReadBytesPerSecond(layout);
  std::sort(layouts_.begin(), layouts_.end(), [](const Layout& a, const Layout& b) {
    return a.bytes_per_second > b.bytes_per_second;
  });
  layouts_.resize(std::min(layouts_.size(), kKeptLayouts));
  return layouts_.front().bytes_per_second;
}

double HardwareProbe::ReadBytesPerSecond(const Layout& layout) {
  const int64_t count = static_cast<int64_t>(buffer_.size() / sizeof(float)) / pool_.thread_count();
  const int passes = static_cast<int>((kMinBytesPerMeasurement - 1) / buffer_.size() + 1);
  const Clock::time_point start = Clock::now();
  pool_.Run(pool_.thread_count(), [&](int64_t part, int) {
    for (int pass = 0; pass < passes; ++pass) {
      kernels_.probe.read_max(buffer_.as<float>() + part * count, count, layout.streams,
                              layout.prefetch_bytes);
    }
  });
  return static_cast<double>(buffer_.size()) * passes / SecondsSince(start);
}

}  // namespace baton
