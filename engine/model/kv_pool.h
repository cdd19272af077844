// The KV blocks of a stage: memory by cache group and block id, and nothing about whose they are.
#ifndef BATON_ENGINE_MODEL_KV_POOL_H_
#define BATON_ENGINE_MODEL_KV_POOL_H_

#include <cstdint>
#include <utility>
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
  int group = 0;       // whose blocks have it: index in CacheGroupsOf(spec)
  int64_t offset = 0;  // bytes from the start of the block
};

// The places of layers [begin, end) in the blocks of their groups, and the bytes of a block, which
// they fill.
struct KvBlockShape {
  KvBlockShape(const ModelSpec& spec, int begin, int end, KvType type);
  std::vector<KvPlace> places;  // by layer, from `begin` on
  std::vector<int64_t> bytes;   // by cache group; 0 where none of the layers is in it
};

class KvPool {
 public:
  // For layers [begin, end). `block_counts`: by cache group; groups that none of the layers is in
  // take no memory. Memory is touched when a block is first written. FailedPrecondition when the
  // heads don't fit the type; ResourceExhausted when memory is not to be had. With `poison` all
  // blocks hold NaN.
  // REQUIRES: block_counts has an entry per group of the model.
  static absl::StatusOr<KvPool> Create(const ModelSpec& spec, int begin, int end, KvType type,
                                       absl::Span<const int32_t> block_counts, bool poison);

  // REQUIRES: 0 <= id < block_counts[group], and has_layers(group).
  uint8_t* block(int group, int32_t id) {
    return memory_.data() + first_byte_[group] + id * shape_.bytes[group];
  }
  bool has_layers(int group) const { return shape_.bytes[group] > 0; }
  // Of layer begin + i.
  const KvPlace& place(int i) const { return shape_.places[i]; }

 private:
  explicit KvPool(KvBlockShape shape) : shape_(std::move(shape)) {}
  KvBlockShape shape_;
  std::vector<int64_t> first_byte_;  // of each group's blocks
  AlignedBuffer memory_;
};

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_KV_POOL_H_
