#include "engine/model/kv_pool.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"
#include "engine/kernels/attention_tile.h"
#include "engine/model/cache_groups.h"

namespace baton {

KvBlockShape::KvBlockShape(const ModelSpec& spec, int begin, int end, KvType type) {
  const std::vector<CacheGroup> groups = CacheGroupsOf(spec);
  std::vector<int> group_of(spec.layer_count);
  for (size_t group = 0; group < groups.size(); ++group) {
    for (const int layer : groups[group].layers) group_of[layer] = static_cast<int>(group);
  }
  bytes.resize(groups.size());
  for (int i = begin; i < end; ++i) {
    const LayerSpec& layer = spec.layers[i];
    const KvLayout layout = {type, layer.kv_head_count, spec.key_size, spec.value_size,
                             !layer.latent.empty()};
    int64_t& block_bytes = bytes[group_of[i]];
    places.push_back({layout, group_of[i], block_bytes});
    const int64_t alignment = kBufferAlignment;
    block_bytes += (layout.LayerBytes() + alignment - 1) / alignment * alignment;
  }
}

absl::StatusOr<KvPool> KvPool::Create(const ModelSpec& spec, int begin, int end, KvType type,
                                      absl::Span<const int32_t> block_counts, bool poison) {
  if (type == KvType::kQ8_0 &&
      (spec.key_size % kKvQuantElements != 0 || spec.value_size % kKvQuantElements != 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat("cache type q8_0 needs heads of a multiple of ", kKvQuantElements,
                     " elements; this model's have ", spec.key_size, " and ", spec.value_size));
  }
  KvPool pool(KvBlockShape(spec, begin, end, type));
  CHECK(block_counts.size() == pool.shape_.bytes.size());
  int64_t bytes = 0;
  for (size_t group = 0; group < block_counts.size(); ++group) {
    pool.first_byte_.push_back(bytes);
    bytes += pool.shape_.bytes[group] * block_counts[group];
  }
  // Kernels read V in whole vectors, up to 15 elements beyond its last one.
  pool.memory_ = AlignedBuffer(bytes + kLanes * sizeof(float));
  if (pool.memory_.data() == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no memory for ", bytes, " bytes of KV cache, ", absl::StrJoin(block_counts, " and "),
        " blocks of ", absl::StrJoin(pool.shape_.bytes, " and "), " bytes"));
  }
  if (poison) std::memset(pool.memory_.data(), 0xff, pool.memory_.size());
  return pool;
}

}  // namespace baton
