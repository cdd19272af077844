#include "engine/model/kv_pool.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/kernels/attention_tile.h"

namespace baton {

KvBlockShape::KvBlockShape(const ModelSpec& spec, absl::Span<const LayerSpec> layers, KvType type) {
  for (const LayerSpec& layer : layers) {
    const KvLayout layout = {type, layer.kv_head_count, spec.key_size, spec.value_size};
    places.push_back({layout, bytes});
    const int64_t alignment = kBufferAlignment;
    bytes += (layout.LayerBytes() + alignment - 1) / alignment * alignment;
  }
}

absl::StatusOr<KvPool> KvPool::Create(const ModelSpec& spec, absl::Span<const LayerSpec> layers,
                                      KvType type, int32_t block_count, bool poison) {
  if (type == KvType::kQ8_0 &&
      (spec.key_size % kKvQuantElements != 0 || spec.value_size % kKvQuantElements != 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat("cache type q8_0 needs heads of a multiple of ", kKvQuantElements,
                     " elements; this model's have ", spec.key_size, " and ", spec.value_size));
  }
  KvPool pool(KvBlockShape(spec, layers, type), block_count);
  const int64_t bytes = pool.shape_.bytes * block_count;
  // Kernels read V in whole vectors, up to 15 elements beyond its last one.
  pool.memory_ = AlignedBuffer(bytes + kLanes * sizeof(float));
  if (pool.memory_.data() == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes,
                                                     " bytes of KV cache, ", block_count,
                                                     " blocks of ", pool.shape_.bytes, " bytes"));
  }
  if (poison) std::memset(pool.memory_.data(), 0xff, pool.memory_.size());
  return pool;
}

}  // namespace baton
