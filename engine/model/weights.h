// Tensors of a file, packed in memory.
#ifndef BATON_ENGINE_MODEL_WEIGHTS_H_
#define BATON_ENGINE_MODEL_WEIGHTS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/arena.h"
#include "engine/base/thread_pool.h"
#include "engine/gguf/gguf_file.h"
#include "engine/kernels/packed_matrix.h"
#include "engine/model/model_spec.h"

namespace baton {

struct Linear {
  PackedMatrix weight;
  std::vector<float> bias;  // may be empty
};

// Empty where the model has no such norm.
struct Norm {
  std::vector<float> weight;
  std::vector<float> bias;  // may be empty
  bool empty() const { return weight.empty(); }
};

struct FeedForwardWeights {
  Linear gate;  // may be empty
  Linear up;
  Linear down;
};

struct RouterWeights {
  PackedMatrix weight;
  std::vector<float> bias;
  std::vector<float> choice_bias;
};

struct LatentAttentionWeights {
  Linear query_down;
  Norm query_norm;
  Linear down;
  Norm norm;
  std::vector<PackedMatrix> key_up;
  std::vector<PackedMatrix> value_up;
};

// As in LayerSpec.
struct LayerWeights {
  Norm attention_norm;
  Linear query;
  Linear key;
  Linear value;
  LatentAttentionWeights latent;
  std::vector<float> query_head_norm;
  std::vector<float> key_head_norm;
  std::vector<float> sinks;
  Linear attention_output;
  Norm attention_post_norm;
  Norm feed_forward_norm;
  RouterWeights router;
  std::vector<FeedForwardWeights> experts;
  FeedForwardWeights shared_expert;
  PackedMatrix shared_expert_gate;
  Norm feed_forward_post_norm;
};

// Reads tensors of a file into packed memory: first say what (Add...), then Load() reads all of it,
// in pieces that the threads share, in the order of the file. Nothing else of the file is read, and
// what is read is nowhere held twice.
//
// Errors: InvalidArgument for a scale or weight that is not finite, naming tensor, block and byte
// in the file; DataLoss for a file that ends early; ResourceExhausted when memory is not to be had,
// with the bytes asked for; Cancelled. Not thread-safe.
class WeightLoader {
 public:
  // Called between pieces with the file bytes done so far, on the thread that called Load(). The
  // load ends when it returns false. May be null.
  using Progress = std::function<bool(uint64_t bytes_done)>;

  // File and pool must outlive the loader; the arena, which holds the matrices, what it loads.
  WeightLoader(const GgufFile& file, ThreadPool& pool, Arena& arena, ActivationMode mode);

  // What `out` points to is filled by Load() and must stay where it is until then. Vectors,
  // matrices and parts of a layer whose slice is empty stay empty.
  absl::Status AddMatrix(const TensorSlice& slice, ActivationMode mode, PackedMatrix* out);
  absl::Status AddMatrix(const TensorSlice& slice, PackedMatrix* out) {
    return AddMatrix(slice, mode_, out);
  }
  // The slice's columns become rows. They are kept as floats: quant blocks run along rows.
  absl::Status AddTransposed(const TensorSlice& slice, PackedMatrix* out);
  void AddVector(const TensorSlice& slice, std::vector<float>* out);
  void AddNorm(const NormSpec& norm, Norm* out);
  absl::Status AddLayer(const LayerSpec& layer, LayerWeights* out);

  // Reads what was added since the last call.
  absl::Status Load(const Progress& progress = nullptr);

  uint64_t bytes_read() const { return bytes_read_; }  // by all calls

 private:
  // Rows of a slice, and where they go: to one of the two.
  struct Piece {
    const TensorSlice* slice;
    int64_t first_row;
    int64_t rows;
    PackedMatrix* matrix;
    std::vector<float>* vector;
    bool transposed = false;

    uint64_t offset() const { return slice->offset() + first_row * slice->row_bytes(); }
    uint64_t bytes() const { return rows * slice->row_bytes(); }
  };

  absl::Status AddLinear(const LinearSpec& linear, Linear* out);
  absl::Status AddFeedForward(const FeedForwardSpec& spec, FeedForwardWeights* out);
  absl::Status AddLatent(const LatentAttentionSpec& spec, LatentAttentionWeights* out);
  absl::Status AddExperts(const LayerSpec& layer, LayerWeights* out);
  absl::Status LoadPiece(const Piece& piece, std::vector<uint8_t>& buffer) const;
  absl::Status CheckPiece(const Piece& piece, const uint8_t* bytes) const;

  const GgufFile& file_;
  ThreadPool& pool_;
  Arena& arena_;
  const ActivationMode mode_;
  std::deque<TensorSlice> slices_;  // pieces point to them
  std::vector<Piece> pieces_;
  uint64_t bytes_read_ = 0;
};

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_WEIGHTS_H_
