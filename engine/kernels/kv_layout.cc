#include "engine/base/check.h"
#include "engine/kernels/attention_tile.h"

namespace baton {

int64_t KvElementBytes(KvType type) {
  switch (type) {
    case KvType::kF16:
      return 2;
    case KvType::kF32:
      return 4;
    case KvType::kQ8_0:
      return 1;
  }
  CHECK(false);
}

namespace {

// Half scales behind `elements` values.
int64_t ScaleBytes(KvType type, int64_t elements) {
  return type == KvType::kQ8_0 ? elements / kKvQuantElements * 2 : 0;
}

}  // namespace

int64_t PaddedSize(int size) { return (int64_t{size} + kLanes - 1) / kLanes * kLanes; }

int64_t AttentionPartialFloats(const KvLayout& layout) {
  return PaddedSize(layout.value_size) + kLanes;
}

int64_t AttentionTileScratchFloats(const KvLayout& layout) {
  return kMaxTileQueries *
             (PaddedSize(layout.key_size) + kAttentionBlock + PaddedSize(layout.value_size)) +
         (layout.latent ? kAttentionBlock * kLatentRun : 0);
}

int64_t KeyGroupBytes(const KvLayout& layout) {
  const int64_t elements = int64_t{layout.key_size} * kKeyGroup;
  return elements * KvElementBytes(layout.type) + ScaleBytes(layout.type, elements);
}

int64_t ValueHeadBytes(const KvLayout& layout) {
  const int64_t elements = int64_t{layout.value_size} * kKvBlockTokens;
  return elements * KvElementBytes(layout.type) + ScaleBytes(layout.type, elements);
}

int64_t KvLayout::KeyOffset(int head) const {
  return head * KeyGroupBytes(*this) * (kKvBlockTokens / kKeyGroup);
}
int64_t KvLayout::ValueOffset(int head) const {
  return KeyOffset(head_count) + head * ValueHeadBytes(*this);
}
int64_t KvLayout::LayerBytes() const {
  return latent ? KeyOffset(head_count) : ValueOffset(head_count);
}

}  // namespace baton
