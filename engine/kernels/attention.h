// Causal attention over a cache of K and V that lives in blocks.
//
// The cache. A *KV block* holds kKvBlockTokens consecutive positions of one sequence, for all
// layers and KV heads of a stage. Which blocks a sequence has is its block table: entry i holds
// positions [i * kKvBlockTokens, (i + 1) * kKvBlockTokens). K and V are rounded once, when they are
// written, and always read back in that type, those of the present chunk too. K is stored with 16
// positions interleaved, so that a position is a lane and a score is one ascending chain of fused
// multiply-adds over the head's elements.
//
// The order. Positions are walked in *attention blocks* of kAttentionBlock, aligned by absolute
// position. Each gives one partial: m = max score; p = exp(score - m); the sum of p over 16 virtual
// lanes (lane = position mod 16) and their tree; and per element of V one ascending chain of
// fma(p, v). Partials are merged in ascending order, a sink after them. Positions that a query does
// not see, after its own or before its window, are skipped, never multiplied; a block without one
// that it sees gives it no partial. So one chunk or twenty, one thread or many, give the same bits.
#ifndef BATON_ENGINE_KERNELS_ATTENTION_H_
#define BATON_ENGINE_KERNELS_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/thread_pool.h"
#include "engine/kernels/kernels.h"

namespace baton {

inline constexpr int kKvBlockTokens = 32;
inline constexpr int kAttentionBlock = 64;

enum class KvType { kF16, kF32, kQ8_0 };
// "f16", "f32", "q8_0"; InvalidArgument lists them.
absl::StatusOr<KvType> ParseKvType(absl::string_view name);
const char* KvTypeName(KvType type);

// Where things are in one layer's part of a KV block. K and V may differ in head size.
// For q8_0 a head size must be a multiple of 32.
struct KvLayout {
  KvType type = KvType::kF16;
  int head_count = 0;  // of K and V
  int key_size = 0;    // elements of a head of K (and Q)
  int value_size = 0;  // elements of a head of V
  // Multi-head latent attention: V is the first value_size <= key_size elements of K, which alone
  // is stored.
  bool latent = false;

  // Bytes of one layer in one block: K of all heads, then V of all heads unless latent.
  int64_t LayerBytes() const;
  int64_t KeyOffset(int head) const;
  int64_t ValueOffset(int head) const;  // not if latent
};

// Rounds and writes K [head_count * key_size] and V [head_count * value_size] of one position into
// `layer_block`, the layer's part of the block; `slot` = position mod kKvBlockTokens. A latent
// layout takes no V: `value` is not read.
void StoreKeyValue(const Kernels& kernels, const KvLayout& layout, uint8_t* layer_block, int slot,
                   const float* key, const float* value);

// What the rows of all sequences of a step share.
struct AttentionShape {
  KvLayout layout;
  int query_head_count = 0;  // a multiple of layout.head_count: query head h reads KV head
                             // h / (query_head_count / layout.head_count)
  float scale = 0;           // scores are scale * (q . k): q is multiplied first, once
  int64_t block_offset = 0;  // bytes from the start of a KV block to the layer's part
  // A query sees this many positions, up to and including its own; 0: all of them.
  int window = 0;
  // Scores become soft_cap * tanh(score / soft_cap); 0: they stay.
  float soft_cap = 0;
  // [query_head_count] or null: the score of a place that every query of the head sees besides its
  // positions, and that has no V, so that it takes weight and gives nothing.
  const float* sinks = nullptr;
};

// Rows of one sequence that attend to it.
struct AttentionRows {
  int64_t row_count = 0;
  int64_t first_position = 0;    // of row 0; row r is at first_position + r
  const float* query = nullptr;  // [row_count][query_head_count * key_size]
  float* out = nullptr;          // [row_count][query_head_count * value_size]
  // KV blocks of the sequence; those that lie before every row's window are not read and may be
  // null. V is read in vectors of 16: the memory of the last block goes on for kLanes floats,
  // whatever they hold.
  const uint8_t* const* blocks = nullptr;
};

// One thread's work at a time: a tile of queries that share a KV head, over some attention blocks.
struct AttentionPiece {
  const AttentionRows* rows;
  int kv_head;
  int64_t first_query;  // of those that share the head, row by row
  int query_count;
  int64_t first_block, end_block;  // attention blocks
  int64_t partials;                // where they start, in floats; -1: the piece has all blocks
};

// Memory for Attend(), kept between calls. Not thread-safe.
class AttentionScratch {
 public:
  // `floats` of memory, whatever they hold.
  float* Reserve(int64_t floats) {
    const int64_t bytes = floats * static_cast<int64_t>(sizeof(float));
    if (static_cast<int64_t>(memory_.size()) < bytes) memory_ = AlignedBuffer(bytes);
    return memory_.as<float>();
  }
  std::vector<AttentionPiece> pieces;  // to be attended
  std::vector<AttentionPiece> merges;  // of pieces that give partials: all blocks of a tile

 private:
  AlignedBuffer memory_;
};

// Attends all rows; positions up to and including each row's own must have been stored.
void Attend(const Kernels& kernels, ThreadPool& pool, const AttentionShape& shape,
            absl::Span<const AttentionRows> sequences, AttentionScratch& scratch);

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_ATTENTION_H_
