#include "engine/inspect/value_scan.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/gguf/finite_check.h"
#include "engine/quant/dequantize.h"

namespace baton {
namespace {

// Weights that are dequantized together: a whole number of quant blocks of any type.
constexpr uint64_t kRunWeights = 256;
// Bytes that a thread reads and looks at at a time: they stay in its level-2 cache between.
constexpr uint64_t kPieceBytes = 256 << 10;
// Blocks of a piece, and of a tensor, that are told; the others will be alike.
constexpr size_t kMaxBadBlocks = 5;

// Consecutive runs of a tensor.
struct Piece {
  size_t tensor;  // its index
  uint64_t first_run;
  uint64_t weights;
};

// What was found in a piece.
struct Findings {
  ValueStatistics values;
  double squares = 0;
  std::vector<Problem> bad_blocks;
};

// Of the runs of a tensor, every how many-th is sampled: odd, so that rows, whose length is even,
// are not sampled in the same columns.
uint64_t SampleStride(const TensorInfo& tensor) {
  const uint64_t weights = tensor.elements();
  return weights <= kSampledWeights ? 1 : weights / kSampledWeights | 1;
}

uint64_t BytesOf(const TensorInfo& tensor, uint64_t weights) {
  const TypeTraits& traits = TraitsOf(tensor.type);
  return weights / traits.block_elements * traits.block_bytes;
}

std::vector<Piece> CutToPieces(const std::vector<TensorInfo>& tensors) {
  std::vector<Piece> pieces;
  for (size_t t = 0; t < tensors.size(); ++t) {
    if (!TraitsOf(tensors[t].type).is_weight) continue;
    const uint64_t runs = std::max<uint64_t>(1, kPieceBytes / BytesOf(tensors[t], kRunWeights));
    const uint64_t weights = runs * kRunWeights;
    for (uint64_t first = 0; first < tensors[t].elements(); first += weights) {
      pieces.push_back({t, first / kRunWeights, std::min(weights, tensors[t].elements() - first)});
    }
  }
  return pieces;
}

void SampleRun(const TensorInfo& tensor, const uint8_t* blocks, uint64_t weights,
               Findings* findings) {
  float run[kRunWeights];
  Dequantize(tensor.type, blocks, weights, run);
  const uint64_t block_weights = TraitsOf(tensor.type).block_elements;
  for (uint64_t first = 0; first < weights; first += block_weights) {
    float least = std::numeric_limits<float>::infinity();
    float most = -least;
    double squares = 0;
    for (uint64_t i = first; i < first + block_weights; ++i) {
      least = std::min(least, run[i]);
      most = std::max(most, run[i]);
      squares += static_cast<double>(run[i]) * run[i];
    }
    // One that is not finite is told as such.
    if (!std::isfinite(squares)) continue;
    ValueStatistics& values = findings->values;
    const bool is_first = values.sampled_count == 0;
    values.least = is_first ? least : std::min<double>(values.least, least);
    values.most = is_first ? most : std::max<double>(values.most, most);
    values.sampled_count += block_weights;
    values.zero_blocks += squares == 0;
    findings->squares += squares;
  }
}

void FindBadBlocks(const TensorInfo& tensor, const Piece& piece, const uint8_t* bytes,
                   Findings* findings) {
  const TypeTraits& traits = TraitsOf(tensor.type);
  const uint64_t first_block = piece.first_run * kRunWeights / traits.block_elements;
  const uint64_t block_count = piece.weights / traits.block_elements;
  for (uint64_t block = 0; block < block_count && findings->bad_blocks.size() < kMaxBadBlocks;) {
    std::optional<Problem> bad =
        CheckFinite(tensor, first_block + block, bytes + block * traits.block_bytes,
                    (block_count - block) * traits.block_elements);
    if (!bad.has_value()) return;
    block = (*bad->offset - tensor.offset) / traits.block_bytes - first_block + 1;
    findings->bad_blocks.push_back(*std::move(bad));
  }
}

absl::Status ScanPiece(const GgufFile& file, const Piece& piece, std::vector<uint8_t>& buffer,
                       Findings* findings) {
  const TensorInfo& tensor = file.tensors()[piece.tensor];
  const uint64_t bytes = BytesOf(tensor, piece.weights);
  const uint64_t run_bytes = BytesOf(tensor, kRunWeights);
  if (buffer.size() < bytes) buffer.resize(bytes);
  RETURN_IF_ERROR(file.FileOf(tensor).ReadAt(tensor.offset + piece.first_run * run_bytes,
                                             buffer.data(), bytes));
  FindBadBlocks(tensor, piece, buffer.data(), findings);
  const uint64_t stride = SampleStride(tensor);
  const uint64_t run_count = (piece.weights + kRunWeights - 1) / kRunWeights;
  uint64_t run = (stride - piece.first_run % stride) % stride;
  for (; run < run_count; run += stride) {
    const uint64_t weights = std::min(kRunWeights, piece.weights - run * kRunWeights);
    SampleRun(tensor, buffer.data() + run * run_bytes, weights, findings);
  }
  return absl::OkStatus();
}

// The findings of all pieces of a tensor, in their order.
class TensorFindings {
 public:
  void Add(Findings piece, ProblemList* problems) {
    const ValueStatistics& values = piece.values;
    if (values.sampled_count > 0) {
      const bool is_first = total_.sampled_count == 0;
      total_.least = is_first ? values.least : std::min(total_.least, values.least);
      total_.most = is_first ? values.most : std::max(total_.most, values.most);
      total_.sampled_count += values.sampled_count;
      total_.zero_blocks += values.zero_blocks;
      squares_ += piece.squares;
    }
    for (Problem& bad : piece.bad_blocks) {
      if (bad_count_++ < kMaxBadBlocks) {
        problems->Add(std::move(bad));
      } else if (bad_count_ == kMaxBadBlocks + 1) {
        bad.status = absl::InvalidArgumentError(
            absl::StrCat("tensor ", bad.tensor, " has more blocks like these"));
        problems->Add(std::move(bad));
      }
    }
  }

  ValueStatistics Finish(uint64_t weight_count) {
    total_.weight_count = weight_count;
    const double count = static_cast<double>(total_.sampled_count);
    if (count > 0) total_.root_mean_square = std::sqrt(squares_ / count);
    return total_;
  }

 private:
  ValueStatistics total_;
  double squares_ = 0;
  size_t bad_count_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<ValueStatistics>> ScanValues(const GgufFile& file, ThreadPool& pool,
                                                        const ScanProgress& progress,
                                                        ProblemList* problems) {
  const std::vector<TensorInfo>& tensors = file.tensors();
  const std::vector<Piece> pieces = CutToPieces(tensors);
  uint64_t bytes_total = 0;
  for (const Piece& piece : pieces) bytes_total += BytesOf(tensors[piece.tensor], piece.weights);
  std::vector<Findings> found(pieces.size());
  std::vector<std::vector<uint8_t>> buffers(pool.thread_count());
  std::atomic<uint64_t> bytes_done{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  absl::Status error;  // of the mutex: the first failure
  pool.Run(static_cast<int64_t>(pieces.size()), [&](int64_t index, int thread) {
    if (stop.load(std::memory_order_relaxed)) return;
    const Piece& piece = pieces[index];
    absl::Status status = ScanPiece(file, piece, buffers[thread], &found[index]);
    bytes_done += BytesOf(tensors[piece.tensor], piece.weights);
    // Thread 0 is the caller's.
    if (status.ok() && thread == 0 && progress && !progress(bytes_done, bytes_total)) {
      status = absl::CancelledError("the scan was cancelled");
    }
    if (status.ok()) return;
    stop = true;
    const std::lock_guard<std::mutex> lock(mutex);
    error.Update(std::move(status));
  });
  RETURN_IF_ERROR(error);
  std::vector<TensorFindings> by_tensor(tensors.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    by_tensor[pieces[i].tensor].Add(std::move(found[i]), problems);
  }
  std::vector<ValueStatistics> values;
  for (size_t t = 0; t < tensors.size(); ++t) {
    values.push_back(by_tensor[t].Finish(tensors[t].elements()));
  }
  return values;
}

}  // namespace baton
