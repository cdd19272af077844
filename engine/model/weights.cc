#include "engine/model/weights.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "engine/base/status_macros.h"
#include "engine/gguf/finite_check.h"
#include "engine/quant/dequantize.h"

namespace baton {
namespace {

// Bytes that a thread reads, checks and packs at a time: they stay in its level-2 cache between.
constexpr int64_t kPieceBytes = 256 << 10;

void PackTransposed(const TensorSlice& slice, const uint8_t* bytes, PackedMatrix* matrix) {
  std::vector<float> values(slice.rows * slice.columns);
  Dequantize(slice.tensor.type, bytes, values.size(), values.data());
  std::vector<float> transposed(values.size());
  for (int64_t row = 0; row < slice.rows; ++row) {
    for (int64_t column = 0; column < slice.columns; ++column) {
      transposed[column * slice.rows + row] = values[row * slice.columns + column];
    }
  }
  matrix->PackRows(0, slice.columns, reinterpret_cast<const uint8_t*>(transposed.data()));
}

}  // namespace

WeightLoader::WeightLoader(const GgufFile& file, ThreadPool& pool, Arena& arena,
                           ActivationMode mode)
    : file_(file), pool_(pool), arena_(arena), mode_(mode) {}

absl::Status WeightLoader::AddMatrix(const TensorSlice& slice, ActivationMode mode,
                                     PackedMatrix* out) {
  if (slice.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      *out, PackedMatrix::Create(slice.tensor.type, slice.rows, slice.columns, mode, &arena_));
  slices_.push_back(slice);
  const int64_t group_bytes = kRowGroup * slice.row_bytes();
  const int64_t piece_rows = std::max<int64_t>(1, kPieceBytes / group_bytes) * kRowGroup;
  for (int64_t row = 0; row < slice.rows; row += piece_rows) {
    pieces_.push_back({&slices_.back(), row, std::min(piece_rows, slice.rows - row), out, nullptr});
  }
  return absl::OkStatus();
}

absl::Status WeightLoader::AddTransposed(const TensorSlice& slice, PackedMatrix* out) {
  ASSIGN_OR_RETURN(
      *out, PackedMatrix::Create(TensorType::kF32, slice.columns, slice.rows, mode_, &arena_));
  slices_.push_back(slice);
  Piece& piece = pieces_.emplace_back(Piece{&slices_.back(), 0, slice.rows, out, nullptr});
  piece.transposed = true;
  return absl::OkStatus();
}

void WeightLoader::AddVector(const TensorSlice& slice, std::vector<float>* out) {
  out->resize(slice.rows);
  if (slice.empty()) return;
  slices_.push_back(slice);
  pieces_.push_back({&slices_.back(), 0, slice.rows, nullptr, out});
}

void WeightLoader::AddNorm(const NormSpec& spec, Norm* out) {
  AddVector(spec.weight, &out->weight);
  AddVector(spec.bias, &out->bias);
}

absl::Status WeightLoader::AddLinear(const LinearSpec& spec, Linear* out) {
  AddVector(spec.bias, &out->bias);
  return AddMatrix(spec.weight, &out->weight);
}

absl::Status WeightLoader::AddFeedForward(const FeedForwardSpec& spec, FeedForwardWeights* out) {
  RETURN_IF_ERROR(AddLinear(spec.gate, &out->gate));
  RETURN_IF_ERROR(AddLinear(spec.up, &out->up));
  return AddLinear(spec.down, &out->down);
}

absl::Status WeightLoader::AddLatent(const LatentAttentionSpec& spec, LatentAttentionWeights* out) {
  RETURN_IF_ERROR(AddLinear(spec.query_down, &out->query_down));
  AddNorm(spec.query_norm, &out->query_norm);
  RETURN_IF_ERROR(AddLinear(spec.down, &out->down));
  AddNorm(spec.norm, &out->norm);
  out->key_up.resize(spec.key_up.size());
  out->value_up.resize(spec.value_up.size());
  for (size_t i = 0; i < spec.key_up.size(); ++i) {
    RETURN_IF_ERROR(spec.key_up_transposed ? AddTransposed(spec.key_up[i], &out->key_up[i])
                                           : AddMatrix(spec.key_up[i], &out->key_up[i]));
    RETURN_IF_ERROR(AddMatrix(spec.value_up[i], &out->value_up[i]));
  }
  return absl::OkStatus();
}

absl::Status WeightLoader::AddExperts(const LayerSpec& spec, LayerWeights* out) {
  // Which experts are chosen hangs on small differences, so the router's input is never rounded.
  RETURN_IF_ERROR(AddMatrix(spec.router.weight, ActivationMode::kF32, &out->router.weight));
  AddVector(spec.router.bias, &out->router.bias);
  AddVector(spec.router.choice_bias, &out->router.choice_bias);
  out->experts.resize(spec.experts.size());
  for (size_t i = 0; i < spec.experts.size(); ++i) {
    RETURN_IF_ERROR(AddFeedForward(spec.experts[i], &out->experts[i]));
  }
  RETURN_IF_ERROR(AddFeedForward(spec.shared_expert, &out->shared_expert));
  return AddMatrix(spec.shared_expert_gate, ActivationMode::kF32, &out->shared_expert_gate);
}

absl::Status WeightLoader::AddLayer(const LayerSpec& spec, LayerWeights* out) {
  AddNorm(spec.attention_norm, &out->attention_norm);
  RETURN_IF_ERROR(AddLinear(spec.query, &out->query));
  RETURN_IF_ERROR(AddLinear(spec.key, &out->key));
  RETURN_IF_ERROR(AddLinear(spec.value, &out->value));
  RETURN_IF_ERROR(AddLatent(spec.latent, &out->latent));
  AddVector(spec.head_norm.query, &out->query_head_norm);
  AddVector(spec.head_norm.key, &out->key_head_norm);
  AddVector(spec.sinks, &out->sinks);
  RETURN_IF_ERROR(AddLinear(spec.attention_output, &out->attention_output));
  AddNorm(spec.attention_post_norm, &out->attention_post_norm);
  AddNorm(spec.feed_forward_norm, &out->feed_forward_norm);
  RETURN_IF_ERROR(AddExperts(spec, out));
  AddNorm(spec.feed_forward_post_norm, &out->feed_forward_post_norm);
  return absl::OkStatus();
}

absl::Status WeightLoader::CheckPiece(const Piece& piece, const uint8_t* bytes) const {
  const TensorInfo& tensor = piece.slice->tensor;
  const uint64_t first_block = (piece.offset() - tensor.offset) / TraitsOf(tensor.type).block_bytes;
  const std::optional<Problem> bad =
      CheckFinite(tensor, first_block, bytes, piece.rows * piece.slice->columns);
  if (!bad.has_value()) return absl::OkStatus();
  return Within(file_.FileOf(tensor).path(), bad->status);
}

absl::Status WeightLoader::LoadPiece(const Piece& piece, std::vector<uint8_t>& buffer) const {
  if (buffer.size() < piece.bytes()) buffer.resize(piece.bytes());
  RETURN_IF_ERROR(
      file_.FileOf(piece.slice->tensor).ReadAt(piece.offset(), buffer.data(), piece.bytes()));
  RETURN_IF_ERROR(CheckPiece(piece, buffer.data()));
  if (piece.transposed) {
    PackTransposed(*piece.slice, buffer.data(), piece.matrix);
  } else if (piece.matrix != nullptr) {
    piece.matrix->PackRows(piece.first_row, piece.rows, buffer.data());
  } else {
    Dequantize(piece.slice->tensor.type, buffer.data(), piece.vector->size(), piece.vector->data());
  }
  return absl::OkStatus();
}

absl::Status WeightLoader::Load(const Progress& progress) {
  // Each thread takes its pieces in ascending order, and the system reads ahead of it. To ask for
  // that by posix_fadvise was slower, by a tenth where the file is cached and a third from a disk.
  std::sort(pieces_.begin(), pieces_.end(), [](const Piece& a, const Piece& b) {
    return std::pair(a.slice->tensor.shard, a.offset()) <
           std::pair(b.slice->tensor.shard, b.offset());
  });
  std::vector<std::vector<uint8_t>> buffers(pool_.thread_count());
  std::atomic<uint64_t> bytes_done{bytes_read_};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  absl::Status status;  // of the mutex: the first failure
  pool_.Run(pieces_.size(), [&](int64_t index, int thread) {
    if (stop.load(std::memory_order_relaxed)) return;
    absl::Status loaded = LoadPiece(pieces_[index], buffers[thread]);
    bytes_done += pieces_[index].bytes();
    // Thread 0 is the caller's.
    if (loaded.ok() && thread == 0 && progress && !progress(bytes_done)) {
      loaded = absl::CancelledError("loading was cancelled");
    }
    if (loaded.ok()) return;
    stop = true;
    const std::lock_guard<std::mutex> lock(mutex);
    status.Update(std::move(loaded));
  });
  RETURN_IF_ERROR(status);
  pieces_.clear();
  slices_.clear();
  bytes_read_ = bytes_done;
  if (progress && !progress(bytes_read_)) return absl::CancelledError("loading was cancelled");
  return absl::OkStatus();
}

}  // namespace baton
