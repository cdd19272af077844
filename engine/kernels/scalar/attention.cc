#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/kernels/exp.h"
#include "engine/kernels/scalar/scalar.h"
#include "engine/quant/half.h"

namespace baton::scalar {
namespace {

// Element `at` of a run of `size` values, whose scales (q8_0) stand behind all of them.
float ReadElement(KvType type, const uint8_t* values, int64_t at, const uint8_t* scale) {
  switch (type) {
    case KvType::kF32:
      return reinterpret_cast<const float*>(values)[at];
    case KvType::kF16:
      return HalfToFloat(reinterpret_cast<const uint16_t*>(values)[at]);
    case KvType::kQ8_0:
      return static_cast<float>(reinterpret_cast<const int8_t*>(values)[at]) *
             HalfToFloat(*reinterpret_cast<const uint16_t*>(scale));
  }
  return 0;
}

float ReadKey(const AttentionTile& tile, int64_t position, int d) {
  const KvLayout& layout = tile.layout;
  const int slot = static_cast<int>(position % kKvBlockTokens);
  const uint8_t* group = tile.blocks[position / kKvBlockTokens] + tile.block_offset +
                         layout.KeyOffset(tile.kv_head) + slot / kKeyGroup * KeyGroupBytes(layout);
  const uint8_t* scales = group + int64_t{layout.key_size} * kKeyGroup;
  const int lane = slot % kKeyGroup;
  return ReadElement(layout.type, group, d * kKeyGroup + lane,
                     scales + (d / kKvQuantElements * kKeyGroup + lane) * 2);
}

float ReadValue(const AttentionTile& tile, int64_t position, int d) {
  const KvLayout& layout = tile.layout;
  if (layout.latent) return ReadKey(tile, position, d);
  const int slot = static_cast<int>(position % kKvBlockTokens);
  const uint8_t* values =
      tile.blocks[position / kKvBlockTokens] + tile.block_offset + layout.ValueOffset(tile.kv_head);
  const uint8_t* scales = values + int64_t{layout.value_size} * kKvBlockTokens;
  return ReadElement(
      layout.type, values, int64_t{slot} * layout.value_size + d,
      scales + (slot * (layout.value_size / kKvQuantElements) + d / kKvQuantElements) * 2);
}

struct Partial {
  float max = 0;
  float sum = 0;
  std::vector<float> value;
};

// Positions [begin, end) of one attention block.
Partial AttendBlock(const AttentionTile& tile, const float* query, int64_t begin, int64_t end) {
  Partial partial;
  std::vector<float> p;
  for (int64_t position = begin; position < end; ++position) {
    float score = 0;
    for (int d = 0; d < tile.layout.key_size; ++d) {
      score = std::fma(query[d] * tile.scale, ReadKey(tile, position, d), score);
    }
    if (tile.soft_cap != 0) score = tile.soft_cap * TanhFloat(score / tile.soft_cap);
    p.push_back(score);
  }
  partial.max = *std::max_element(p.begin(), p.end());
  float lanes[kLanes] = {};
  for (size_t i = 0; i < p.size(); ++i) {
    p[i] = ExpFloat(p[i] - partial.max);
    lanes[(begin + i) % kLanes] += p[i];
  }
  partial.sum = AddLanes(lanes);
  partial.value.assign(tile.layout.value_size, 0.0f);
  for (size_t i = 0; i < p.size(); ++i) {
    for (int d = 0; d < tile.layout.value_size; ++d) {
      partial.value[d] = std::fma(p[i], ReadValue(tile, begin + i, d), partial.value[d]);
    }
  }
  return partial;
}

void Merge(const Partial& next, Partial& total) {
  if (total.value.empty()) {
    total = next;
    return;
  }
  const float max = std::max(total.max, next.max);
  const float a = ExpFloat(total.max - max);
  const float b = ExpFloat(next.max - max);
  total.max = max;
  total.sum = std::fma(total.sum, a, next.sum * b);
  for (size_t d = 0; d < total.value.size(); ++d) {
    total.value[d] = std::fma(total.value[d], a, next.value[d] * b);
  }
}

// Where the partial of a block and a query is kept.
float* PartialAt(const AttentionTile& tile, int64_t block, int query) {
  return tile.partials + ((block - tile.first_block) * tile.query_count + query) *
                             AttentionPartialFloats(tile.layout);
}
void StorePartial(const AttentionTile& tile, const Partial& partial, float* to) {
  std::copy(partial.value.begin(), partial.value.end(), to);
  to[PaddedSize(tile.layout.value_size)] = partial.max;
  to[PaddedSize(tile.layout.value_size) + 1] = partial.sum;
}
Partial LoadPartial(const AttentionTile& tile, const float* from) {
  const float* ends = from + PaddedSize(tile.layout.value_size);
  return {ends[0], ends[1], {from, from + tile.layout.value_size}};
}

// Calls body(block, begin, end) for the blocks that a query sees, ascending.
template <typename Body>
void ForBlocks(const AttentionTile& tile, int query, const Body& body) {
  for (int64_t block = tile.first_block; block < tile.end_block; ++block) {
    const int64_t first = block * kAttentionBlock;
    const int64_t begin = std::max(first, tile.first_positions[query]);
    const int64_t end = std::min(first + kAttentionBlock, tile.last_positions[query] + 1);
    if (begin < end) body(block, begin, end);
  }
}

void StoreOut(const AttentionTile& tile, Partial total, int query) {
  if (tile.sinks != nullptr) {
    Merge({tile.sinks[query], 1, std::vector<float>(tile.layout.value_size)}, total);
  }
  const float inverse = 1.0f / total.sum;
  for (int d = 0; d < tile.layout.value_size; ++d) tile.outs[query][d] = total.value[d] * inverse;
}

}  // namespace

void AttendTile(const AttentionTile& tile) {
  for (int i = 0; i < tile.query_count; ++i) {
    Partial total;
    ForBlocks(tile, i, [&](int64_t block, int64_t begin, int64_t end) {
      const Partial partial = AttendBlock(tile, tile.queries[i], begin, end);
      if (tile.partials != nullptr) {
        StorePartial(tile, partial, PartialAt(tile, block, i));
      } else {
        Merge(partial, total);
      }
    });
    if (tile.partials == nullptr) StoreOut(tile, total, i);
  }
}

void MergeTile(const AttentionTile& tile) {
  for (int i = 0; i < tile.query_count; ++i) {
    Partial total;
    ForBlocks(tile, i, [&](int64_t block, int64_t, int64_t) {
      Merge(LoadPartial(tile, PartialAt(tile, block, i)), total);
    });
    StoreOut(tile, total, i);
  }
}

}  // namespace baton::scalar
