// Attention over F32x16; the rules of elementwise-inl.h apply.

#include <cstdint>

#include "engine/kernels/attention_tile.h"
#include "engine/kernels/vector/elementwise-inl.h"
#include "engine/kernels/vector/unroll.h"

namespace baton::BATON_VECTOR_NAMESPACE {

// How K and V of one cache type come into a register.
struct KvF16 {
  static constexpr int kBytes = 2;
  static F32x16 Key(const uint8_t* group, const KvLayout&, int d) {
    return LoadHalf(reinterpret_cast<const uint16_t*>(group) + d * kKeyGroup);
  }
  static F32x16 Value(const uint8_t* row, const uint8_t*, int d) {
    return LoadHalf(reinterpret_cast<const uint16_t*>(row) + d);
  }
};
struct KvF32 {
  static constexpr int kBytes = 4;
  static F32x16 Key(const uint8_t* group, const KvLayout&, int d) {
    return Load(reinterpret_cast<const float*>(group) + d * kKeyGroup);
  }
  static F32x16 Value(const uint8_t* row, const uint8_t*, int d) {
    return Load(reinterpret_cast<const float*>(row) + d);
  }
};
struct KvQ8_0 {
  static constexpr int kBytes = 1;
  static F32x16 Key(const uint8_t* group, const KvLayout& layout, int d) {
    const uint8_t* scales = group + int64_t{layout.key_size} * kKeyGroup;
    const F32x16 scale =
        LoadHalf(reinterpret_cast<const uint16_t*>(scales) + d / kKvQuantElements * kKeyGroup);
    return Mul(LoadInt8(reinterpret_cast<const int8_t*>(group) + d * kKeyGroup), scale);
  }
  static F32x16 Value(const uint8_t* row, const uint8_t* scales, int d) {
    return Mul(LoadInt8(reinterpret_cast<const int8_t*>(row) + d),
               Set1Half(reinterpret_cast<const uint16_t*>(scales) + d / kKvQuantElements));
  }
};

inline constexpr int kGroupsPerBlock = kAttentionBlock / kKeyGroup;
inline constexpr int kKvBlocksPerBlock = kAttentionBlock / kKvBlockTokens;

// Vectors beside each other for some queries: as many sums as hide the latency of one, and as fit
// the registers.
constexpr int VectorsFor(int queries) {
  const int vectors = kAttentionSums / queries;
  return vectors < 1 ? 1 : vectors > 4 ? 4 : vectors;
}

// Calls body.operator()<n>(first) for runs of queries, the longest first.
template <int kRun = kAttentionSums, typename Body>
inline void ForQueries(int begin, int end, const Body& body) {
  for (; begin + kRun <= end; begin += kRun) body.template operator()<kRun>(begin);
  if constexpr (kRun > 4) {
    ForQueries<kRun / 2>(begin, end, body);
  } else if constexpr (kRun > 1) {
    ForQueries<kRun - 1>(begin, end, body);
  }
}

// Calls body.operator()<n>(first) for runs of vectors in [0, count): kRun, then one by one.
template <int kRun, typename Body>
inline void ForVectors(int count, const Body& body) {
  int first = 0;
  for (; first + kRun <= count; first += kRun) body.template operator()<kRun>(first);
  for (; first < count; ++first) body.template operator()<1>(first);
}

// One attention block of one tile at a time.
template <typename Kv>
class TileAttention {
 public:
  explicit TileAttention(const AttentionTile& tile)
      : tile_(tile), layout_(tile.layout), padded_(PaddedSize(layout_.value_size)) {
    queries_ = tile.scratch;
    p_ = queries_ + kMaxTileQueries * PaddedSize(layout_.key_size);
    total_ = p_ + kMaxTileQueries * kAttentionBlock;
  }

  void Run() {
    ScaleQueries();
    const int64_t end = tile_.last_positions[tile_.query_count - 1] + 1;
    for (int64_t block = tile_.first_block; block < tile_.end_block; ++block) {
      const int64_t begin = block * kAttentionBlock;
      count_ = end - begin < kAttentionBlock ? static_cast<int>(end - begin) : kAttentionBlock;
      here_ = next_ = Find(begin, end, here_);
      if (block + 1 < tile_.end_block) next_ = Find(begin + kAttentionBlock, end, here_);
      Scores();
      LimitQueries(begin);
      Softmax();
      if (tile_.partials != nullptr) {
        StorePartials(block);
      } else {
        MergeBlock(block);
      }
    }
    if (tile_.partials == nullptr) StoreOuts();
  }

  // What Run() would have given, from the partials of all its blocks.
  void Merge() {
    for (int64_t block = tile_.first_block; block < tile_.end_block; ++block) {
      for (int i = 0; i < tile_.query_count; ++i) {
        if (tile_.last_positions[i] < block * kAttentionBlock) continue;
        const float* partial = Partial(block, i);
        const MergeFactors factors = MergeScalars(block, i, partial[padded_], partial[padded_ + 1]);
        float* total = total_ + i * padded_;
        for (int64_t d = 0; d < padded_; d += kLanes) {
          Store(total + d, MergeVector(factors, Load(partial + d), total + d));
        }
      }
    }
    StoreOuts();
  }

 private:
  // Where K and V of an attention block stand.
  struct Place {
    const uint8_t* keys[kGroupsPerBlock];
    const uint8_t* values[kKvBlocksPerBlock];
  };

  const uint8_t* KvBlock(int64_t position) const {
    return tile_.blocks[position / kKvBlockTokens] + tile_.block_offset;
  }
  float* Partial(int64_t block, int query) const {
    return tile_.partials + ((block - tile_.first_block) * tile_.query_count + query) *
                                AttentionPartialFloats(layout_);
  }

  void ScaleQueries() {
    const F32x16 scale = Set1(tile_.scale);
    for (int i = 0; i < tile_.query_count; ++i) {
      ForEachVector(layout_.key_size, [&](int64_t d, int64_t n) {
        alignas(64) float scaled[kLanes];
        Store(scaled, Mul(LoadUpTo(tile_.queries[i] + d, n), scale));
        for (int64_t at = 0; at < n; ++at) queries_[(d + at) * kMaxTileQueries + i] = scaled[at];
      });
    }
  }

  // Of the block that starts at position `begin`; what lies beyond `end` is where `other` has it.
  Place Find(int64_t begin, int64_t end, const Place& other) const {
    constexpr int kGroups = kKvBlockTokens / kKeyGroup;
    const int64_t group_bytes = KeyGroupBytes(layout_);
    Place place = other;
    for (int i = 0; i < kKvBlocksPerBlock && begin + i * kKvBlockTokens < end; ++i) {
      const uint8_t* block = KvBlock(begin + i * kKvBlockTokens);
      for (int g = 0; g < kGroups; ++g) {
        place.keys[i * kGroups + g] = block + layout_.KeyOffset(tile_.kv_head) + g * group_bytes;
      }
      place.values[i] = block + layout_.ValueOffset(tile_.kv_head);
    }
    return place;
  }

  void Scores() {
    const int groups = (count_ + kKeyGroup - 1) / kKeyGroup;
    ForQueries(0, tile_.query_count, [&]<int kQueries>(int first) {
      ForVectors<VectorsFor(kQueries)>(
          groups, [&]<int kGroups>(int group) { ScoreGroups<kQueries, kGroups>(first, group); });
    });
  }

  // Scores of kQueries queries with the positions of kGroups key groups.
  template <int kQueries, int kGroups>
  void ScoreGroups(int first, int group) {
    const int size = layout_.key_size;
    const float* query = queries_ + first;
    // KV blocks lie anywhere: hardware that follows streams would start anew with each. So the
    // next block comes in while this one is used, each place of it at its own time.
    int64_t ahead[kGroups];
    Unroll<kGroups>([&](auto g) __attribute__((always_inline)) {
      ahead[g] = next_.keys[group + g] - here_.keys[group + g];
    });
    F32x16 sum[kGroups][kQueries];
    ForAll<kGroups, kQueries>([&](auto g, auto i)
                                  __attribute__((always_inline)) { sum[g][i] = Zero(); });
    for (int d = 0; d < size; ++d) {
      F32x16 key[kGroups];
      Unroll<kGroups>([&](auto g) __attribute__((always_inline)) {
        const uint8_t* keys = here_.keys[group + g];
        key[g] = Kv::Key(keys, layout_, d);
        __builtin_prefetch(keys + ahead[g] + d * kKeyGroup * Kv::kBytes);
      });
      Unroll<kQueries>([&](auto i) __attribute__((always_inline)) {
        const F32x16 q = Set1(query[d * kMaxTileQueries + i]);
        Unroll<kGroups>([&](auto g) __attribute__((always_inline)) {
          sum[g][i] = Fma(q, key[g], sum[g][i]);
        });
      });
    }
    ForAll<kGroups, kQueries>([&](auto g, auto i) __attribute__((always_inline)) {
      Store(p_ + (first + i) * kAttentionBlock + (group + g) * kKeyGroup, sum[g][i]);
    });
  }

  // How many positions of the block each query sees; those before first_visible_ see none.
  void LimitQueries(int64_t begin) {
    first_visible_ = tile_.query_count;
    while (first_visible_ > 0 && tile_.last_positions[first_visible_ - 1] >= begin) {
      const int64_t seen = tile_.last_positions[--first_visible_] + 1 - begin;
      visible_[first_visible_] = seen > kAttentionBlock ? kAttentionBlock : static_cast<int>(seen);
    }
  }

  // Scores become weights relative to the block's maximum. All maxima come first, so that the
  // latency of one tree is hidden behind the others.
  void Softmax() {
    for (int i = first_visible_; i < tile_.query_count; ++i) {
      float* p = p_ + i * kAttentionBlock;
      const int padded = (visible_[i] + kLanes - 1) / kLanes * kLanes;
      for (int at = visible_[i]; at < padded; ++at) p[at] = -__builtin_inff();
      F32x16 max = Load(p);
      for (int at = kLanes; at < padded; at += kLanes) max = Max(max, Load(p + at));
      block_max_[i] = MaxLane(max);
    }
    for (int i = first_visible_; i < tile_.query_count; ++i) {
      float* p = p_ + i * kAttentionBlock;
      const F32x16 shift = Set1(block_max_[i]);
      F32x16 sum = Zero();
      for (int at = 0; at < visible_[i]; at += kLanes) {
        const F32x16 weight = Exp(Sub(Load(p + at), shift));
        Store(p + at, weight);
        sum = Add(sum, weight);
      }
      block_sum_[i] = AddLanes(sum);
    }
  }

  // Calls put(query, d, vector) with the sums over the block's positions of weight times V.
  template <typename Put>
  void ForValues(const Put& put) {
    const int vectors = static_cast<int>(padded_ / kLanes);
    ForQueries(first_visible_, tile_.query_count, [&]<int kQueries>(int first) {
      ForVectors<VectorsFor(kQueries)>(vectors, [&]<int kVectors>(int vector) {
        AddValues<kQueries, kVectors>(first, vector * kLanes, put);
      });
    });
  }

  template <int kQueries, int kVectors, typename Put>
  void AddValues(int first, int d, const Put& put) {
    F32x16 sum[kVectors][kQueries];
    ForAll<kVectors, kQueries>([&](auto v, auto i)
                                   __attribute__((always_inline)) { sum[v][i] = Zero(); });
    const float* weight = p_ + first * kAttentionBlock;
    // What all these queries see.
    ForValueRows(
        0, visible_[first],
        [&](int position, const uint8_t* row, const uint8_t* scales, int64_t ahead)
            __attribute__((always_inline)) {
              F32x16 value[kVectors];
              Unroll<kVectors>([&](auto v) __attribute__((always_inline)) {
                value[v] = Kv::Value(row, scales, d + v * kLanes);
                __builtin_prefetch(row + ahead + (d + v * kLanes) * Kv::kBytes);
              });
              Unroll<kQueries>([&](auto i) __attribute__((always_inline)) {
                const F32x16 w = Set1(weight[i * kAttentionBlock + position]);
                Unroll<kVectors>([&](auto v) __attribute__((always_inline)) {
                  sum[v][i] = Fma(w, value[v], sum[v][i]);
                });
              });
            });
    // The limits ascend by at most a row each, so the rest is short.
    ForAll<kVectors, kQueries>([&](auto v, auto i) __attribute__((always_inline)) {
      ForValueRows(visible_[first], visible_[first + i],
                   [&](int position, const uint8_t* row, const uint8_t* scales, int64_t) {
                     sum[v][i] = Fma(Set1(weight[i * kAttentionBlock + position]),
                                     Kv::Value(row, scales, d + v * kLanes), sum[v][i]);
                   });
      put(first + i, d + v * kLanes, sum[v][i]);
    });
  }

  // Calls body(position, row of V, its scales, bytes from there to the next block's) for positions
  // [begin, end) of the block.
  template <typename Body>
  [[gnu::always_inline]] void ForValueRows(int begin, int end, const Body& body) const {
    const int64_t row_bytes = int64_t{layout_.value_size} * Kv::kBytes;
    const int64_t scale_bytes = layout_.value_size / kKvQuantElements * 2;
    for (int position = begin; position < end;) {
      const int slot = position % kKvBlockTokens;
      const int block_end = position - slot + kKvBlockTokens;
      const uint8_t* values = here_.values[position / kKvBlockTokens];
      const int64_t ahead = next_.values[position / kKvBlockTokens] - values;
      const uint8_t* row = values + slot * row_bytes;
      const uint8_t* scales = values + kKvBlockTokens * row_bytes + slot * scale_bytes;
      for (const int stop = block_end < end ? block_end : end; position < stop; ++position) {
        body(position, row, scales, ahead);
        row += row_bytes;
        scales += scale_bytes;
      }
    }
  }

  // How a running total and a block's partial are weighed when they are added.
  struct MergeFactors {
    bool is_first;
    float total, block;
  };
  MergeFactors MergeScalars(int64_t block, int i, float block_max, float block_sum) {
    if (block == 0) {
      max_[i] = block_max;
      sum_[i] = block_sum;
      return {true, 0, 0};
    }
    const float max = max_[i] > block_max ? max_[i] : block_max;
    const float a = FirstLane(Exp(Set1(max_[i] - max)));
    const float b = FirstLane(Exp(Set1(block_max - max)));
    max_[i] = max;
    sum_[i] = __builtin_fmaf(sum_[i], a, block_sum * b);
    return {false, a, b};
  }
  static F32x16 MergeVector(const MergeFactors& factors, F32x16 vector, const float* total) {
    if (factors.is_first) return vector;
    return Fma(Load(total), Set1(factors.total), Mul(vector, Set1(factors.block)));
  }

  void MergeBlock(int64_t block) {
    MergeFactors factors[kMaxTileQueries];
    for (int i = first_visible_; i < tile_.query_count; ++i) {
      factors[i] = MergeScalars(block, i, block_max_[i], block_sum_[i]);
    }
    ForValues([&](int i, int64_t d, F32x16 vector) {
      float* total = total_ + i * padded_ + d;
      Store(total, MergeVector(factors[i], vector, total));
    });
  }

  void StorePartials(int64_t block) {
    for (int i = first_visible_; i < tile_.query_count; ++i) {
      Partial(block, i)[padded_] = block_max_[i];
      Partial(block, i)[padded_ + 1] = block_sum_[i];
    }
    ForValues([&](int i, int64_t d, F32x16 vector) { Store(Partial(block, i) + d, vector); });
  }

  void StoreOuts() {
    for (int i = 0; i < tile_.query_count; ++i) {
      const F32x16 inverse = Set1(1.0f / sum_[i]);
      ForEachVector(layout_.value_size, [&](int64_t d, int64_t n) {
        StoreUpTo(tile_.outs[i] + d, Mul(Load(total_ + i * padded_ + d), inverse), n);
      });
    }
  }

  const AttentionTile& tile_;
  const KvLayout& layout_;
  const int64_t padded_;
  float* queries_;  // [key_size][kMaxTileQueries], scaled
  float* p_;        // [query][kAttentionBlock]: scores, then weights
  float* total_;    // [query][padded_]
  int count_ = 0;   // positions of the block that the last query sees
  Place here_ = {}, next_ = {};
  int first_visible_ = 0;
  int visible_[kMaxTileQueries];
  float block_max_[kMaxTileQueries], block_sum_[kMaxTileQueries];
  float max_[kMaxTileQueries], sum_[kMaxTileQueries];
};

template <typename Body>
inline void WithTileAttention(const AttentionTile& tile, const Body& body) {
  switch (tile.layout.type) {
    case KvType::kF16:
      return body(TileAttention<KvF16>(tile));
    case KvType::kF32:
      return body(TileAttention<KvF32>(tile));
    case KvType::kQ8_0:
      return body(TileAttention<KvQ8_0>(tile));
  }
}

inline void AttendTile(const AttentionTile& tile) {
  WithTileAttention(tile, [](auto attention) { attention.Run(); });
}

inline void MergeTile(const AttentionTile& tile) {
  WithTileAttention(tile, [](auto attention) { attention.Merge(); });
}

}  // namespace baton::BATON_VECTOR_NAMESPACE
