// Tensors of a file, packed in memory.
#ifndef BATON_ENGINE_MODEL_WEIGHTS_H_
#define BATON_ENGINE_MODEL_WEIGHTS_H_

#include <cstdint>
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

struct FeedForwardWeights {
  Linear gate;
  Linear up;
  Linear down;
};

// As in LayerSpec.
struct LayerWeights {
  std::vector<float> attention_norm;
  Linear query;
  Linear key;
  Linear value;
  Linear attention_output;
  std::vector<float> feed_forward_norm;
  PackedMatrix router;
  std::vector<FeedForwardWeights> experts;
};

// Reads slices piece by piece, in parallel, and nothing beside them. Errors: InvalidArgument for a
// scale or weight that is not finite, naming tensor, block and byte in the file; DataLoss for a
// file that ends early; ResourceExhausted when memory is not to be had, with the bytes asked for.
// Not thread-safe.
class WeightLoader {
 public:
  // Called between pieces with the bytes read so far, on the loader's own thread; may be null.
  using Progress = std::function<void(uint64_t bytes_done)>;

  // File and pool must outlive the loader; the arena, which holds the matrices, what it loads.
  WeightLoader(const GgufFile& file, ThreadPool& pool, Arena& arena, ActivationMode mode,
               Progress progress);

  absl::StatusOr<PackedMatrix> LoadMatrix(const TensorSlice& slice, ActivationMode mode);
  absl::StatusOr<PackedMatrix> LoadMatrix(const TensorSlice& slice) {
    return LoadMatrix(slice, mode_);
  }
  // Empty for an empty slice.
  absl::StatusOr<std::vector<float>> LoadVector(const TensorSlice& slice);
  absl::StatusOr<LayerWeights> LoadLayer(const LayerSpec& layer);

  uint64_t bytes_read() const { return bytes_read_; }

 private:
  absl::StatusOr<Linear> LoadLinear(const LinearSpec& linear);
  absl::Status LoadPiece(const TensorSlice& slice, int64_t first_row, int64_t rows,
                         std::vector<uint8_t>& scratch, PackedMatrix* matrix);
  absl::Status ReadRows(const TensorSlice& slice, int64_t first_row, int64_t rows,
                        std::vector<uint8_t>& bytes) const;
  void Count(uint64_t bytes);

  const GgufFile& file_;
  ThreadPool& pool_;
  Arena& arena_;
  const ActivationMode mode_;
  const Progress progress_;
  uint64_t bytes_read_ = 0;
  std::vector<std::vector<uint8_t>> scratch_;  // by thread
};

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_WEIGHTS_H_
