// The KV blocks of a stage: memory by block id, and nothing about whose they are.
#ifndef BATON_ENGINE_MODEL_KV_POOL_H_
#define BATON_ENGINE_MODEL_KV_POOL_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/aligned_buffer.h"
#include "engine/kernels/attention.h"
#include "engine/model/model_spec.h"

namespace baton {

// What one layer keeps of kKvBlockTokens positions, and where in a block it is.
struct KvPlace {
  KvLayout layout;
  int64_t offset = 0;  // bytes from the start of the block
};

// The places of some layers in a block, and the bytes of a block, which they fill.
struct KvBlockShape {
  KvBlockShape(const ModelSpec& spec, absl::Span<const LayerSpec> layers, KvType type);
  std::vector<KvPlace> places;
  int64_t bytes = 0;
};

class KvPool {
 public:
  // Memory is touched when a block is first written. FailedPrecondition when the heads don't fit
  // the type; ResourceExhausted when memory is not to be had. With `poison` all blocks hold NaN.
  static absl::StatusOr<KvPool> Create(const ModelSpec& spec, absl::Span<const LayerSpec> layers,
                                       KvType type, int32_t block_count, bool poison);

  int32_t block_count() const { return block_count_; }
  uint8_t* block(int32_t id) { return memory_.data() + id * shape_.bytes; }
  // Of layer i of those it was created for.
  const KvPlace& place(int i) const { return shape_.places[i]; }

 private:
  KvPool(KvBlockShape shape, int32_t block_count)
      : shape_(std::move(shape)), block_count_(block_count) {}
  KvBlockShape shape_;
  int32_t block_count_;
  AlignedBuffer memory_;
};

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_KV_POOL_H_
