#include "engine/model/weights.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/quant/dequantize.h"

namespace baton {
namespace {

// Bytes that one task reads at a time: large enough for a disk, small enough for a cache.
constexpr int64_t kPieceBytes = 1 << 20;
// Pieces between two reports of progress.
constexpr int64_t kPiecesPerReport = 32;

}  // namespace

WeightLoader::WeightLoader(const GgufFile& file, ThreadPool& pool, Arena& arena,
                           ActivationMode mode, Progress progress)
    : file_(file),
      pool_(pool),
      arena_(arena),
      mode_(mode),
      progress_(std::move(progress)),
      scratch_(pool.thread_count()) {}

void WeightLoader::Count(uint64_t bytes) {
  bytes_read_ += bytes;
  if (progress_) progress_(bytes_read_);
}

absl::Status WeightLoader::ReadRows(const TensorSlice& slice, int64_t first_row, int64_t rows,
                                    std::vector<uint8_t>& bytes) const {
  const uint64_t size = rows * slice.row_bytes();
  const uint64_t offset = slice.offset() + first_row * slice.row_bytes();
  if (bytes.size() < size) bytes.resize(size);
  RETURN_IF_ERROR(file_.file()->ReadAt(offset, bytes.data(), size));
  const TensorType type = slice.tensor.type;
  const std::optional<NonFinite> bad =
      FindNonFinite(type, bytes.data(), static_cast<size_t>(rows * slice.columns));
  if (!bad.has_value()) return absl::OkStatus();
  const uint64_t first_block = (offset - slice.tensor.offset) / TraitsOf(type).block_bytes;
  return absl::InvalidArgumentError(absl::StrCat(
      file_.path(), ": tensor ", slice.tensor.name, ", block ", first_block + bad->block, ", byte ",
      offset + bad->byte, " of the file: ", bad->what, ", expected a finite number"));
}

absl::Status WeightLoader::LoadPiece(const TensorSlice& slice, int64_t first_row, int64_t rows,
                                     std::vector<uint8_t>& scratch, PackedMatrix* matrix) {
  RETURN_IF_ERROR(ReadRows(slice, first_row, rows, scratch));
  matrix->PackRows(first_row, rows, scratch.data());
  return absl::OkStatus();
}

absl::StatusOr<PackedMatrix> WeightLoader::LoadMatrix(const TensorSlice& slice,
                                                      ActivationMode mode) {
  ASSIGN_OR_RETURN(PackedMatrix matrix, PackedMatrix::Create(slice.tensor.type, slice.rows,
                                                             slice.columns, mode, &arena_));
  const int64_t group_bytes = kRowGroup * slice.row_bytes();
  const int64_t piece_rows = std::max<int64_t>(1, kPieceBytes / group_bytes) * kRowGroup;
  const int64_t report_rows = piece_rows * kPiecesPerReport;
  for (int64_t first = 0; first < slice.rows; first += report_rows) {
    const int64_t end = std::min(slice.rows, first + report_rows);
    std::mutex mutex;
    absl::Status status;
    pool_.Run((end - first + piece_rows - 1) / piece_rows, [&](int64_t task, int thread) {
      const int64_t row = first + task * piece_rows;
      absl::Status piece =
          LoadPiece(slice, row, std::min(piece_rows, end - row), scratch_[thread], &matrix);
      const std::lock_guard<std::mutex> lock(mutex);
      status.Update(std::move(piece));
    });
    RETURN_IF_ERROR(status);
    Count((end - first) * slice.row_bytes());
  }
  return matrix;
}

absl::StatusOr<std::vector<float>> WeightLoader::LoadVector(const TensorSlice& slice) {
  std::vector<float> values(slice.rows);
  if (slice.empty()) return values;
  std::vector<uint8_t> bytes;
  RETURN_IF_ERROR(ReadRows(slice, 0, slice.rows, bytes));
  Dequantize(slice.tensor.type, bytes.data(), values.size(), values.data());
  Count(slice.bytes());
  return values;
}

absl::StatusOr<Linear> WeightLoader::LoadLinear(const LinearSpec& spec) {
  Linear linear;
  ASSIGN_OR_RETURN(linear.weight, LoadMatrix(spec.weight));
  ASSIGN_OR_RETURN(linear.bias, LoadVector(spec.bias));
  return linear;
}

absl::StatusOr<LayerWeights> WeightLoader::LoadLayer(const LayerSpec& spec) {
  LayerWeights layer;
  ASSIGN_OR_RETURN(layer.attention_norm, LoadVector(spec.attention_norm));
  ASSIGN_OR_RETURN(layer.query, LoadLinear(spec.query));
  ASSIGN_OR_RETURN(layer.key, LoadLinear(spec.key));
  ASSIGN_OR_RETURN(layer.value, LoadLinear(spec.value));
  ASSIGN_OR_RETURN(layer.attention_output, LoadLinear(spec.attention_output));
  ASSIGN_OR_RETURN(layer.feed_forward_norm, LoadVector(spec.feed_forward_norm));
  if (!spec.router.empty()) {
    // Which experts are chosen hangs on small differences, so the router's input is never rounded.
    ASSIGN_OR_RETURN(layer.router, LoadMatrix(spec.router, ActivationMode::kF32));
  }
  for (const FeedForwardSpec& expert : spec.experts) {
    FeedForwardWeights& weights = layer.experts.emplace_back();
    ASSIGN_OR_RETURN(weights.gate, LoadLinear(expert.gate));
    ASSIGN_OR_RETURN(weights.up, LoadLinear(expert.up));
    ASSIGN_OR_RETURN(weights.down, LoadLinear(expert.down));
  }
  return layer;
}

}  // namespace baton
