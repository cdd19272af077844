// What one attention kernel call works on: some queries that share a KV head, over some attention
// blocks.
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
  const uint8_t* const* blocks;    // of the sequence, by position / kKvBlockTokens
  int64_t block_offset;            // of the layer's part, in each
  float scale;                     // of the queries
  float soft_cap;                  // of the scores, or 0
  int query_count;                 // at most kMaxTileQueries
  const float* const* queries;     // each [key_size]
  const int64_t* first_positions;  // what each query sees, inclusive; both ascending by no more
  const int64_t* last_positions;   // than 1 from query to query
  const float* sinks;              // of each query, or null
  int64_t first_block;             // attention blocks [first_block, end_block), each seen by some
  int64_t end_block;               // query
  float* const* outs;              // each [value_size]
  float* partials;  // [end_block - first_block][query_count][AttentionPartialFloats(layout)], or
                    // null: the tile has all blocks, and gives outs
  float* scratch;   // AttentionTileScratchFloats(layout) floats
};

// Elements of a head of K or V in whole vectors.
int64_t PaddedSize(int size);
// One attention block of one query: the vector [PaddedSize(value_size)], then max and sum.
int64_t AttentionPartialFloats(const KvLayout& layout);
// Per query: the scaled query, the scores of one attention block, the running vector. For a latent
// layout besides: kLatentRun elements of V at each position of an attention block.
int64_t AttentionTileScratchFloats(const KvLayout& layout);

// Elements of a latent's V that are taken out of K at a time: what fits the level-1 cache.
inline constexpr int kLatentRun = 64;

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
