// How fast models load, beside what the machine can do with the same bytes in the same minute:
//
//   read   the file read from start to end into a small buffer, by one thread, as `cat` would
//   place  the file read into fresh memory by all threads: what a load does at the very least
//   load   LocalStage::Load of the whole model
//
//   bazel run //engine/pipeline:load_benchmark -- THREADS cached|cold FILE.gguf...
//
// Medians of rounds in turns, in GB of file per second. cold: what the system has of the file in
// memory is dropped before every run.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/file.h"
#include "engine/base/thread_pool.h"
#include "engine/gguf/gguf_file.h"
#include "engine/kernels/isa.h"
#include "engine/model/cache_groups.h"
#include "engine/model/model_spec.h"
#include "engine/pipeline/local_stage.h"

namespace baton {
namespace {

constexpr int kRounds = 5;
constexpr uint64_t kPieceBytes = 256 << 10;

[[noreturn]] void Fail(const absl::Status& status) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

void Check(const absl::Status& status) {
  if (!status.ok()) Fail(status);
}

double Seconds(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void ReadThrough(const RandomAccessFile& file) {
  std::vector<uint8_t> buffer(kPieceBytes);
  for (uint64_t at = 0; at < file.size(); at += kPieceBytes) {
    Check(file.ReadAt(at, buffer.data(), std::min(kPieceBytes, file.size() - at)));
  }
}

void ReadIntoFreshMemory(const RandomAccessFile& file, ThreadPool& pool) {
  AlignedBuffer memory(file.size());
  pool.Run((file.size() + kPieceBytes - 1) / kPieceBytes, [&](int64_t piece, int) {
    const uint64_t at = piece * kPieceBytes;
    Check(file.ReadAt(at, memory.data() + at, std::min(kPieceBytes, file.size() - at)));
  });
}

std::unique_ptr<LocalStage> Load(const GgufFile& file, const ModelSpec& spec, int thread_count) {
  LocalStageOptions options;
  options.role = {{0, spec.layer_count}, true, true};
  options.isa = BestIsa();
  options.thread_count = thread_count;
  options.kv_block_counts.assign(CacheGroupsOf(spec).size(), 1);
  absl::StatusOr<std::unique_ptr<LocalStage>> stage = LocalStage::Load(file, options);
  Check(stage.status());
  return *std::move(stage);
}

void DropFromCache(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
}

void Measure(const std::string& path, bool cold, int thread_count) {
  const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
  Check(file.status());
  const absl::StatusOr<ModelSpec> spec = ModelSpec::Read(*file);
  Check(spec.status());
  ThreadPool pool(thread_count);
  const auto seconds = [&](const std::function<void()>& run) {
    if (cold) DropFromCache(path);
    return Seconds(run);
  };
  std::vector<double> read, place, load;
  ReadThrough(*file->file());
  for (int round = 0; round < kRounds; ++round) {
    read.push_back(seconds([&] { ReadThrough(*file->file()); }));
    place.push_back(seconds([&] { ReadIntoFreshMemory(*file->file(), pool); }));
    // The end of a stage, which gives its memory back, is not part of its load.
    std::unique_ptr<LocalStage> stage;
    load.push_back(seconds([&] { stage = Load(*file, *spec, thread_count); }));
  }
  const double gigabytes = static_cast<double>(file->file()->size()) * 1e-9;
  std::printf("%-40s %8.2f GB %8.2f %8.2f %8.2f %11.0f%% %11.0f%%\n",
              path.substr(path.rfind('/') + 1).c_str(), gigabytes, gigabytes / Median(read),
              gigabytes / Median(place), gigabytes / Median(load),
              100 * Median(read) / Median(load), 100 * Median(place) / Median(load));
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  const int thread_count = argc > 3 ? std::atoi(argv[1]) : 0;
  const std::string state = argc > 3 ? argv[2] : "";
  if (thread_count < 1 || (state != "cached" && state != "cold")) {
    std::fprintf(stderr, "usage: load_benchmark THREADS cached|cold FILE.gguf...\n");
    return 2;
  }
  std::printf("%-40s %11s %8s %8s %8s %12s %12s\n", "GB/s", "size", "read", "place", "load",
              "load/read", "load/place");
  for (int i = 3; i < argc; ++i) baton::Measure(argv[i], state == "cold", thread_count);
  return 0;
}
