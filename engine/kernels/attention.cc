#include "engine/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/check.h"
#include "engine/kernels/attention_tile.h"
#include "engine/quant/half.h"

namespace baton {
namespace {

// One vector of K or V into the cache: values at `out`, `stride` elements apart; scales at
// `scales`, `scale_stride` apart.
void StoreVector(const Kernels& kernels, KvType type, const float* x, int size, uint8_t* out,
                 int64_t stride, uint8_t* scales, int64_t scale_stride) {
  if (type == KvType::kF32) {
    float* to = reinterpret_cast<float*>(out);
    for (int i = 0; i < size; ++i) to[i * stride] = x[i];
    return;
  }
  if (type == KvType::kF16) {
    uint16_t* to = reinterpret_cast<uint16_t*>(out);
    if (stride == 1) {
      kernels.to_half(x, size, to);
      return;
    }
    constexpr int kChunk = 64;
    uint16_t halves[kChunk];
    for (int i = 0; i < size; i += kChunk) {
      const int n = std::min(kChunk, size - i);
      kernels.to_half(x + i, n, halves);
      for (int j = 0; j < n; ++j) to[(i + j) * stride] = halves[j];
    }
    return;
  }
  // The same rounding as activations have: scale = max / 127 (kept as a half), q to nearest even.
  static_assert(kKvQuantElements == kActivationBlock);
  CHECK(size % kKvQuantElements == 0);
  for (int block = 0; block < size / kKvQuantElements; ++block) {
    QuantizedBlock quantized;
    kernels.quantize_row(x + block * kKvQuantElements, {&quantized, 1}, 0);
    for (int i = 0; i < kKvQuantElements; ++i) {
      out[(block * kKvQuantElements + i) * stride] = static_cast<uint8_t>(quantized.values[i]);
    }
    reinterpret_cast<uint16_t*>(scales)[block * scale_stride] = FloatToHalf(quantized.scale);
  }
}

}  // namespace

absl::StatusOr<KvType> ParseKvType(absl::string_view name) {
  for (KvType type : {KvType::kF16, KvType::kF32, KvType::kQ8_0}) {
    if (name == KvTypeName(type)) return type;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cache type '", name, "' is unknown: it is f16, f32 or q8_0"));
}

const char* KvTypeName(KvType type) {
  switch (type) {
    case KvType::kF16:
      return "f16";
    case KvType::kF32:
      return "f32";
    case KvType::kQ8_0:
      return "q8_0";
  }
  CHECK(false);
}

void StoreKeyValue(const Kernels& kernels, const KvLayout& layout, uint8_t* layer_block, int slot,
                   const float* key, const float* value) {
  const int64_t element = KvElementBytes(layout.type);
  const int lane = slot % kKeyGroup;
  for (int head = 0; head < layout.head_count; ++head) {
    uint8_t* group =
        layer_block + layout.KeyOffset(head) + slot / kKeyGroup * KeyGroupBytes(layout);
    uint8_t* key_scales = group + int64_t{layout.key_size} * kKeyGroup * element + lane * 2;
    StoreVector(kernels, layout.type, key + int64_t{head} * layout.key_size, layout.key_size,
                group + lane * element, kKeyGroup, key_scales, kKeyGroup);
    uint8_t* values = layer_block + layout.ValueOffset(head);
    const int scale_count = layout.value_size / kKvQuantElements;
    uint8_t* value_scales =
        values + int64_t{layout.value_size} * kKvBlockTokens * element + slot * scale_count * 2;
    StoreVector(kernels, layout.type, value + int64_t{head} * layout.value_size, layout.value_size,
                values + slot * layout.value_size * element, 1, value_scales, 1);
  }
}

void Attend(const Kernels& kernels, ThreadPool& pool, const AttentionInput& input,
            AttentionScratch& scratch) {
  const KvLayout& layout = input.layout;
  const int queries_per_head = input.query_head_count / layout.head_count;
  CHECK(queries_per_head * layout.head_count == input.query_head_count);
  // Queries of one KV head, row by row: their last positions ascend.
  const int64_t query_count = input.row_count * queries_per_head;
  const int64_t tiles = (query_count + kMaxTileQueries - 1) / kMaxTileQueries;
  const int64_t scaled_floats = int64_t{kMaxTileQueries} * layout.key_size;
  const int64_t floats = (scaled_floats + AttentionTileScratchFloats(layout) + 15) / 16 * 16;
  scratch.Reserve(floats * pool.thread_count() * sizeof(float));
  pool.Run(tiles * layout.head_count, [&](int64_t task, int thread) {
    const int kv_head = static_cast<int>(task % layout.head_count);
    // The last tiles see the most positions: they start first, so that no thread ends late.
    const int64_t first = (tiles - 1 - task / layout.head_count) * kMaxTileQueries;
    float* scaled = scratch.floats() + thread * floats;
    int64_t last_positions[kMaxTileQueries];
    float* outs[kMaxTileQueries];
    AttentionTile tile = {layout,         kv_head, input.layer_blocks,    0, scaled,
                          last_positions, outs,    scaled + scaled_floats};
    for (int64_t i = first; i < std::min(query_count, first + kMaxTileQueries); ++i) {
      const int64_t row = i / queries_per_head;
      const int64_t head =
          row * input.query_head_count + kv_head * queries_per_head + i % queries_per_head;
      const int t = tile.query_count++;
      for (int d = 0; d < layout.key_size; ++d) {
        scaled[t * layout.key_size + d] = input.query[head * layout.key_size + d] * input.scale;
      }
      last_positions[t] = input.first_position + row;
      outs[t] = input.out + head * layout.value_size;
    }
    kernels.attend(tile);
  });
}

}  // namespace baton
