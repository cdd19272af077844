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

// Calls body.operator()<n>(first) for runs of vectors: kRun, then one by one.
template <int kRun, typename Body>
inline void ForVectors(int begin, int end, const Body& body) {
  for (; begin + kRun <= end; begin += kRun) body.template operator()<kRun>(begin);
  for (; begin < end; ++begin) body.template operator()<1>(begin);
}

// Rows become columns, and columns rows. In each of four rounds the lower half of the 256 floats is
// interleaved with the upper one, which takes one bit of an element's row to the end of its index.
inline void Transpose(F32x16 (&rows)[kLanes]) {
  Unroll<4>([&](auto) __attribute__((always_inline)) {
    F32x16 next[kLanes];
    Unroll<kLanes / 2>([&](auto i) __attribute__((always_inline)) {
      Interleave(rows[i], rows[i + kLanes / 2], &next[2 * i], &next[2 * i + 1]);
    });
    Unroll<kLanes>([&](auto i) __attribute__((always_inline)) { rows[i] = next[i]; });
  });
}

// One attention block of one tile at a time.
class TileAttention {
 public:
  explicit TileAttention(const AttentionTile& tile)
      : tile_(tile),
        layout_(tile.layout),
        padded_(PaddedSize(layout_.value_size)),
        run_(layout_.latent ? kLatentRun : padded_) {
    queries_ = tile.scratch;
    p_ = queries_ + kMaxTileQueries * PaddedSize(layout_.key_size);
    total_ = p_ + kMaxTileQueries * kAttentionBlock;
    latent_ = total_ + kMaxTileQueries * padded_;
  }

  // K and V tell how those are read: V of a latent as the floats that it was made into.
  template <typename K, typename V>
  void Run() {
    ScaleQueries();
    const int64_t end = tile_.last_positions[tile_.query_count - 1] + 1;
    for (int64_t block = tile_.first_block; block < tile_.end_block; ++block) {
      const int64_t begin = block * kAttentionBlock;
      first_group_ = Within(tile_.first_positions[0] - begin) / kKeyGroup;
      end_group_ = (Within(end - begin) + kKeyGroup - 1) / kKeyGroup;
      here_ = next_ = Find(begin, end, here_);
      if (block + 1 < tile_.end_block) next_ = Find(begin + kAttentionBlock, end, here_);
      Scores<K>();
      LimitQueries(begin);
      if (tile_.soft_cap != 0) CapScores();
      Softmax();
      SetTargets(block);
      AddValues<K, V>();
    }
    if (tile_.partials == nullptr) StoreOuts();
  }

  // What Run() would have given, from the partials of all its blocks.
  void Merge() {
    for (int64_t block = tile_.first_block; block < tile_.end_block; ++block) {
      for (int i = 0; i < tile_.query_count; ++i) {
        if (!Sees(i, block)) continue;
        const float* partial = Partial(block, i);
        MergeVectors(i, MergeScalars(block, i, partial[padded_], partial[padded_ + 1]),
                     [&](int64_t d) { return Load(partial + d); });
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

  // A position relative to the block's first, or the end of the block that it lies beyond.
  static int Within(int64_t position) {
    if (position > kAttentionBlock) return kAttentionBlock;
    return position < 0 ? 0 : static_cast<int>(position);
  }
  int64_t FirstBlock(int query) const { return tile_.first_positions[query] / kAttentionBlock; }
  bool Sees(int query, int64_t block) const {
    return FirstBlock(query) <= block && block <= tile_.last_positions[query] / kAttentionBlock;
  }
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

  // Of the block that starts at position `begin`; what no query sees is where `other` has it.
  Place Find(int64_t begin, int64_t end, const Place& other) const {
    constexpr int kGroups = kKvBlockTokens / kKeyGroup;
    const int64_t group_bytes = KeyGroupBytes(layout_);
    Place place = other;
    for (int i = 0; i < kKvBlocksPerBlock && begin + i * kKvBlockTokens < end; ++i) {
      if (begin + (i + 1) * kKvBlockTokens <= tile_.first_positions[0]) continue;
      const uint8_t* block = KvBlock(begin + i * kKvBlockTokens);
      for (int g = 0; g < kGroups; ++g) {
        place.keys[i * kGroups + g] = block + layout_.KeyOffset(tile_.kv_head) + g * group_bytes;
      }
      place.values[i] = layout_.latent
                            ? reinterpret_cast<const uint8_t*>(LatentAt(i * kKvBlockTokens))
                            : block + layout_.ValueOffset(tile_.kv_head);
    }
    return place;
  }

  template <typename K>
  void Scores() {
    ForQueries(0, tile_.query_count, [&]<int kQueries>(int first) {
      ForVectors<VectorsFor(kQueries)>(first_group_, end_group_, [&]<int kGroups>(int group) {
        ScoreGroups<K, kQueries, kGroups>(first, group);
      });
    });
  }

  // Scores of kQueries queries with the positions of kGroups key groups.
  template <typename K, int kQueries, int kGroups>
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
        key[g] = K::Key(keys, layout_, d);
        __builtin_prefetch(keys + ahead[g] + d * kKeyGroup * K::kBytes);
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

  // Which queries see something of the block, and what.
  void LimitQueries(int64_t begin) {
    const int64_t block = begin / kAttentionBlock;
    end_query_ = tile_.query_count;
    while (end_query_ > 0 && FirstBlock(end_query_ - 1) > block) --end_query_;
    first_query_ = end_query_;
    while (first_query_ > 0 && tile_.last_positions[first_query_ - 1] >= begin) {
      --first_query_;
      first_seen_[first_query_] = Within(tile_.first_positions[first_query_] - begin);
      end_seen_[first_query_] = Within(tile_.last_positions[first_query_] + 1 - begin);
    }
  }

  void CapScores() {
    const int first = first_group_ * kLanes, end = end_group_ * kLanes;
    for (int i = first_query_; i < end_query_; ++i) {
      SoftCap(p_ + i * kAttentionBlock + first, tile_.soft_cap, end - first);
    }
  }

  // Scores become weights relative to the block's maximum. All maxima come first, so that the
  // latency of one tree is hidden behind the others.
  void Softmax() {
    for (int i = first_query_; i < end_query_; ++i) {
      float* p = p_ + i * kAttentionBlock;
      const int first = first_seen_[i] / kLanes * kLanes;
      const int end = (end_seen_[i] + kLanes - 1) / kLanes * kLanes;
      for (int at = first; at < first_seen_[i]; ++at) p[at] = -__builtin_inff();
      for (int at = end_seen_[i]; at < end; ++at) p[at] = -__builtin_inff();
      F32x16 max = Load(p + first);
      for (int at = first + kLanes; at < end; at += kLanes) max = Max(max, Load(p + at));
      block_max_[i] = MaxLane(max);
    }
    for (int i = first_query_; i < end_query_; ++i) {
      float* p = p_ + i * kAttentionBlock;
      const F32x16 shift = Set1(block_max_[i]);
      F32x16 sum = Zero();
      for (int at = first_seen_[i] / kLanes * kLanes; at < end_seen_[i]; at += kLanes) {
        const F32x16 weight = Exp(Sub(Load(p + at), shift));
        Store(p + at, weight);
        sum = Add(sum, weight);
      }
      block_sum_[i] = AddLanes(sum);
    }
  }

  float* LatentAt(int position) const { return latent_ + position * kLatentRun; }

  // Takes elements [begin, end) of V out of K, which has an element's positions side by side.
  template <typename K>
  void TakeLatent(int64_t begin, int64_t end) {
    for (int group = first_group_; group < end_group_; ++group) {
      for (int64_t d = begin; d < end; d += kLanes) {
        F32x16 rows[kLanes];
        Unroll<kLanes>([&](auto i) __attribute__((always_inline)) {
          rows[i] = d + i < layout_.value_size ? K::Key(here_.keys[group], layout_, d + i) : Zero();
        });
        Transpose(rows);
        float* to = LatentAt(group * kKeyGroup) + d - begin;
        Unroll<kLanes>([&](auto i)
                           __attribute__((always_inline)) { Store(to + i * kLatentRun, rows[i]); });
      }
    }
  }

  // Where each query's sums over the block go, and how: into its running total, or as they are into
  // a partial.
  void SetTargets(int64_t block) {
    for (int i = first_query_; i < end_query_; ++i) {
      if (tile_.partials == nullptr) {
        factors_[i] = MergeScalars(block, i, block_max_[i], block_sum_[i]);
        targets_[i] = total_ + i * padded_;
      } else {
        factors_[i] = kAsItIs;
        targets_[i] = Partial(block, i);
        targets_[i][padded_] = block_max_[i];
        targets_[i][padded_ + 1] = block_sum_[i];
      }
    }
  }

  // Sums weight times V over the block's positions.
  template <typename K, typename V>
  void AddValues() {
    for (int64_t run = 0; run < padded_; run += run_) {
      const int64_t end = run + run_ < padded_ ? run + run_ : padded_;
      if (layout_.latent) TakeLatent<K>(run, end);
      AddRun<V>(run, static_cast<int>(end - run) / kLanes);
    }
  }

  // Of the vectors from element `run` on.
  template <typename V>
  void AddRun(int64_t run, int vectors) {
    ForQueries(first_query_, end_query_, [&]<int kQueries>(int first) {
      ForVectors<VectorsFor(kQueries)>(0, vectors, [&]<int kVectors>(int vector) {
        AddVectors<V, kQueries, kVectors>(first, run, vector * kLanes);
      });
    });
  }

  // Of kVectors of them, from element run + d on.
  template <typename V, int kQueries, int kVectors>
  void AddVectors(int first, int64_t run, int d) {
    F32x16 sum[kVectors][kQueries];
    ForAll<kVectors, kQueries>([&](auto v, auto i)
                                   __attribute__((always_inline)) { sum[v][i] = Zero(); });
    const float* weight = p_ + first * kAttentionBlock;
    // What all these queries see; before it and after it each has its own positions, few of them,
    // as what they see ascends by at most a row each.
    int begin = first_seen_[first + kQueries - 1], end = end_seen_[first];
    if (begin > 0) [[unlikely]] {
      if (begin >= end) begin = end = kAttentionBlock;
      ForAll<kVectors, kQueries>([&](auto v, auto i) __attribute__((always_inline)) {
        sum[v][i] = ValuesBefore<V>(begin, first + i, d + v * kLanes);
      });
    }
    ForValueRows<V>(
        begin, end,
        [&](int position, const uint8_t* row, const uint8_t* scales, int64_t ahead)
            __attribute__((always_inline)) {
              F32x16 value[kVectors];
              Unroll<kVectors>([&](auto v) __attribute__((always_inline)) {
                value[v] = V::Value(row, scales, d + v * kLanes);
                __builtin_prefetch(row + ahead + (d + v * kLanes) * V::kBytes);
              });
              Unroll<kQueries>([&](auto i) __attribute__((always_inline)) {
                const F32x16 w = Set1(weight[i * kAttentionBlock + position]);
                Unroll<kVectors>([&](auto v) __attribute__((always_inline)) {
                  sum[v][i] = Fma(w, value[v], sum[v][i]);
                });
              });
            });
    ForAll<kVectors, kQueries>([&](auto v, auto i) __attribute__((always_inline)) {
      ForValueRows<V>(end, end_seen_[first + i],
                      [&](int position, const uint8_t* row, const uint8_t* scales, int64_t) {
                        sum[v][i] = Fma(Set1(weight[i * kAttentionBlock + position]),
                                        V::Value(row, scales, d + v * kLanes), sum[v][i]);
                      });
      float* out = targets_[first + i] + run + d + v * kLanes;
      Store(out, MergeVector(factors_[first + i], sum[v][i], out));
    });
  }

  // The sum of AddVectors() for one query over what it sees before position `end` of the block. Out
  // of line: only windows need it, and the loops beside it need the registers.
  template <typename V>
  [[gnu::noinline]] F32x16 ValuesBefore(int end, int query, int d) const {
    F32x16 sum = Zero();
    if (end > end_seen_[query]) end = end_seen_[query];
    ForValueRows<V>(first_seen_[query], end,
                    [&](int position, const uint8_t* row, const uint8_t* scales, int64_t) {
                      sum = Fma(Set1(p_[query * kAttentionBlock + position]),
                                V::Value(row, scales, d), sum);
                    });
    return sum;
  }

  // Calls body(position, row of V, its scales, bytes from there to the next block's) for positions
  // [begin, end) of the block.
  template <typename V, typename Body>
  [[gnu::always_inline]] void ForValueRows(int begin, int end, const Body& body) const {
    const int64_t row_bytes = (layout_.latent ? kLatentRun : layout_.value_size) * V::kBytes;
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

  // In place of a block's index: no query sees it first.
  static constexpr int64_t kAfterBlocks = -1;
  // How a running total and a block's partial are weighed when they are added.
  struct MergeFactors {
    bool is_first;
    float total, block;
  };
  static constexpr MergeFactors kAsItIs = {true, 0, 0};
  MergeFactors MergeScalars(int64_t block, int i, float block_max, float block_sum) {
    if (block == FirstBlock(i)) {
      max_[i] = block_max;
      sum_[i] = block_sum;
      return kAsItIs;
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

  // Merges vector(d) for all d.
  template <typename Vector>
  void MergeVectors(int i, const MergeFactors& factors, const Vector& vector) {
    float* total = total_ + i * padded_;
    for (int64_t d = 0; d < padded_; d += kLanes) {
      Store(total + d, MergeVector(factors, vector(d), total + d));
    }
  }

  // A sink is one more partial, with no V: it comes after those of all blocks.
  void MergeSinks() {
    for (int i = 0; i < tile_.query_count; ++i) {
      MergeVectors(i, MergeScalars(kAfterBlocks, i, tile_.sinks[i], 1),
                   [](int64_t) { return Zero(); });
    }
  }

  void StoreOuts() {
    if (tile_.sinks != nullptr) MergeSinks();
    for (int i = 0; i < tile_.query_count; ++i) {
      const F32x16 inverse = Set1(1.0f / sum_[i]);
      ForEachVector(layout_.value_size, [&](int64_t d, int64_t n) {
        StoreUpTo(tile_.outs[i] + d, Mul(Load(total_ + i * padded_ + d), inverse), n);
      });
    }
  }

  const AttentionTile& tile_;
  const KvLayout& layout_;
  const int64_t padded_;  // elements of V in whole vectors
  const int64_t run_;     // those that are summed at a time
  float* queries_;        // [key_size][kMaxTileQueries], scaled
  float* p_;              // [query][kAttentionBlock]: scores, then weights
  float* total_;          // [query][padded_]
  float* latent_;         // [position][kLatentRun]: V of a latent, a run at a time
  Place here_ = {}, next_ = {};
  // Of the block: the key groups that some query sees, the queries that see something, and the
  // positions that each of them sees.
  int first_group_ = 0, end_group_ = 0;
  int first_query_ = 0, end_query_ = 0;
  int first_seen_[kMaxTileQueries], end_seen_[kMaxTileQueries];
  float* targets_[kMaxTileQueries];
  MergeFactors factors_[kMaxTileQueries];
  float block_max_[kMaxTileQueries], block_sum_[kMaxTileQueries];
  float max_[kMaxTileQueries], sum_[kMaxTileQueries];
};

inline void AttendTile(const AttentionTile& tile) {
  TileAttention attention(tile);
  const bool latent = tile.layout.latent;
  switch (tile.layout.type) {
    case KvType::kF16:
      return latent ? attention.Run<KvF16, KvF32>() : attention.Run<KvF16, KvF16>();
    case KvType::kF32:
      return attention.Run<KvF32, KvF32>();
    case KvType::kQ8_0:
      return latent ? attention.Run<KvQ8_0, KvF32>() : attention.Run<KvQ8_0, KvQ8_0>();
  }
}

inline void MergeTile(const AttentionTile& tile) { TileAttention(tile).Merge(); }

}  // namespace baton::BATON_VECTOR_NAMESPACE
