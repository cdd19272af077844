// What one attention kernel call works on: some queries that share a KV head.
#ifndef BATON_ENGINE_KERNELS_ATTENTION_TILE_H_
#define BATON_ENGINE_KERNELS_ATTENTION_TILE_H_

#include <cstdint>

#include "engine/kernels/attention.h"

namespace baton {

// Queries of one tile: enough to use each K and V that is loaded many times, few enough that their
// state stays in the level-1 and level-2 caches.
inline constexpr int kMaxTileQueries = 16;

struct AttentionTile {
  KvLayout layout;
  int kv_head;
  const uint8_t* const* layer_blocks;  // of the sequence, by position / kKvBlockTokens
  int query_count;                     // at most kMaxTileQueries
  const float* queries;                // [query_count][key_size], scaled
  const int64_t* last_positions;       // what each query sees, inclusive; ascending
  float* const* outs;                  // each [value_size]
  float* scratch;                      // AttentionTileScratchFloats(layout) floats
};

// Scores of one attention block, and running and partial sums, per query.
inline int64_t AttentionTileScratchFloats(const KvLayout& layout) {
  return kMaxTileQueries * (kAttentionBlock + 2 * ((layout.value_size + 15) / 16 * 16));
}

// Positions of K that are interleaved.
inline constexpr int kKeyGroup = 16;
static_assert(kKvBlockTokens % kKeyGroup == 0 && kAttentionBlock % kKvBlockTokens == 0);
// Elements that share a scale in a q8_0 cache.
inline constexpr int kKvQuantElements = 32;

int64_t KvElementBytes(KvType type);
// The K of 16 positions of one head: values [key_size][16]; behind them, for q8_0, the half scales
// [key_size / 32][16]. `group` counts groups within the KV block.
int64_t KeyGroupBytes(const KvLayout& layout);
// The V of one head in one KV block: values [kKvBlockTokens][value_size]; behind them, for q8_0,
// the half scales [kKvBlockTokens][value_size / 32].
int64_t ValueHeadBytes(const KvLayout& layout);

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_ATTENTION_TILE_H_
