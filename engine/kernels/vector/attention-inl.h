// Attention over F32x16; the rules of elementwise-inl.h apply.

#include <cstdint>

#include "engine/kernels/attention_tile.h"
#include "engine/kernels/vector/elementwise-inl.h"

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
    uint16_t scale[kLanes] = {reinterpret_cast<const uint16_t*>(scales)[d / kKvQuantElements]};
    return Mul(LoadInt8(reinterpret_cast<const int8_t*>(row) + d),
               Set1(FirstLane(LoadHalf(scale))));
  }
};

// Where the V of each position of one attention block stands.
struct ValueRows {
  const uint8_t* rows[kAttentionBlock];
  const uint8_t* scales[kAttentionBlock];
};

// Scores of kQueries queries with the 16 positions of one key group.
template <typename Kv, int kQueries>
inline void ScoreGroup(const AttentionTile& tile, int first, const uint8_t* group, float* scores) {
  const int size = tile.layout.key_size;
  const float* query = tile.queries + int64_t{first} * size;
  F32x16 sum[kQueries];
  for (int i = 0; i < kQueries; ++i) sum[i] = Zero();
  for (int d = 0; d < size; ++d) {
    const F32x16 key = Kv::Key(group, tile.layout, d);
    for (int i = 0; i < kQueries; ++i) sum[i] = Fma(Set1(query[i * size + d]), key, sum[i]);
  }
  for (int i = 0; i < kQueries; ++i) Store(scores + (first + i) * kAttentionBlock, sum[i]);
}

// sum over positions of p * V for 16 elements from d, ascending; a query stops at its own limit.
template <typename Kv, int kQueries>
inline void AddValues(const ValueRows& values, int first, int d, const float* p, const int* visible,
                      F32x16* out) {
  F32x16 sum[kQueries];
  for (int i = 0; i < kQueries; ++i) sum[i] = Zero();
  const float* weight = p + first * kAttentionBlock;
  int position = 0;
  for (; position < visible[first]; ++position) {
    const F32x16 value = Kv::Value(values.rows[position], values.scales[position], d);
    for (int i = 0; i < kQueries; ++i) {
      sum[i] = Fma(Set1(weight[i * kAttentionBlock + position]), value, sum[i]);
    }
  }
  // The limits ascend by at most a row each, so this is short.
  for (int i = 1; i < kQueries; ++i) {
    for (int more = position; more < visible[first + i]; ++more) {
      const F32x16 value = Kv::Value(values.rows[more], values.scales[more], d);
      sum[i] = Fma(Set1(weight[i * kAttentionBlock + more]), value, sum[i]);
    }
  }
  for (int i = 0; i < kQueries; ++i) out[i] = sum[i];
}

// Calls body.operator()<n>(first) for runs of 4 queries and the rest.
template <typename Body>
inline void ForQueries(int begin, int end, const Body& body) {
  for (; begin + 4 <= end; begin += 4) body.template operator()<4>(begin);
  switch (end - begin) {
    case 3:
      return body.template operator()<3>(begin);
    case 2:
      return body.template operator()<2>(begin);
    case 1:
      return body.template operator()<1>(begin);
  }
}

template <typename Kv>
class TileAttention {
 public:
  explicit TileAttention(const AttentionTile& tile) : tile_(tile) {
    padded_ = (tile.layout.value_size + kLanes - 1) / kLanes * kLanes;
    p_ = tile.scratch;
    total_ = p_ + kMaxTileQueries * kAttentionBlock;
  }

  void Run() {
    const int64_t end = tile_.last_positions[tile_.query_count - 1] + 1;
    for (int64_t begin = 0; begin < end; begin += kAttentionBlock) {
      Scores(begin,
             end - begin < kAttentionBlock ? static_cast<int>(end - begin) : kAttentionBlock);
      Softmax(begin);
      Values(begin);
    }
    for (int i = 0; i < tile_.query_count; ++i) {
      const F32x16 inverse = Set1(1.0f / sum_[i]);
      ForEachVector(tile_.layout.value_size, [&](int64_t d, int64_t count) {
        StoreUpTo(tile_.outs[i] + d, Mul(Load(total_ + i * padded_ + d), inverse), count);
      });
    }
  }

 private:
  const uint8_t* Block(int64_t position) const {
    return tile_.layer_blocks[position / kKvBlockTokens];
  }

  void Scores(int64_t begin, int count) {
    const KvLayout& layout = tile_.layout;
    const int64_t group_bytes = KeyGroupBytes(layout);
    for (int at = 0; at < count; at += kKeyGroup) {
      const int64_t position = begin + at;
      const uint8_t* group = Block(position) + layout.KeyOffset(tile_.kv_head) +
                             position % kKvBlockTokens / kKeyGroup * group_bytes;
      ForQueries(0, tile_.query_count, [&]<int kQueries>(int first) {
        ScoreGroup<Kv, kQueries>(tile_, first, group, p_ + at);
      });
    }
    for (int at = 0; at < count; ++at) {
      const int64_t position = begin + at;
      const int64_t slot = position % kKvBlockTokens;
      const uint8_t* head = Block(position) + layout.ValueOffset(tile_.kv_head);
      values_.rows[at] = head + slot * layout.value_size * Kv::kBytes;
      values_.scales[at] = head + int64_t{layout.value_size} * kKvBlockTokens * Kv::kBytes +
                           slot * (layout.value_size / kKvQuantElements) * 2;
    }
  }

  // Scores become weights relative to the block's maximum; what is beyond a query's limit, 0.
  void Softmax(int64_t begin) {
    first_visible_ = tile_.query_count;
    for (int i = tile_.query_count - 1; i >= 0; --i) {
      const int64_t seen = tile_.last_positions[i] + 1 - begin;
      const int visible = seen < 0                 ? 0
                          : seen > kAttentionBlock ? kAttentionBlock
                                                   : static_cast<int>(seen);
      visible_[i] = visible;
      if (visible == 0) return;  // and so is every query before it
      first_visible_ = i;
      float* p = p_ + i * kAttentionBlock;
      const int padded = (visible + kLanes - 1) / kLanes * kLanes;
      for (int at = visible; at < padded; ++at) p[at] = -__builtin_inff();
      F32x16 max = Load(p);
      for (int at = kLanes; at < padded; at += kLanes) max = Max(max, Load(p + at));
      block_max_[i] = MaxLane(max);
      const F32x16 shift = Set1(block_max_[i]);
      F32x16 sum = Zero();
      for (int at = 0; at < padded; at += kLanes) {
        const F32x16 weight = Exp(Sub(Load(p + at), shift));
        Store(p + at, weight);
        sum = Add(sum, weight);
      }
      block_sum_[i] = AddLanes(sum);
    }
  }

  void Values(int64_t begin) {
    float a[kMaxTileQueries], b[kMaxTileQueries];
    for (int i = first_visible_; i < tile_.query_count; ++i) {
      if (begin == 0) {
        max_[i] = block_max_[i];
        sum_[i] = block_sum_[i];
        continue;
      }
      const float max = max_[i] > block_max_[i] ? max_[i] : block_max_[i];
      a[i] = FirstLane(Exp(Set1(max_[i] - max)));
      b[i] = FirstLane(Exp(Set1(block_max_[i] - max)));
      max_[i] = max;
      sum_[i] = __builtin_fmaf(sum_[i], a[i], block_sum_[i] * b[i]);
    }
    for (int d = 0; d < tile_.layout.value_size; d += kLanes) {
      ForQueries(first_visible_, tile_.query_count, [&]<int kQueries>(int first) {
        F32x16 block[kQueries];
        AddValues<Kv, kQueries>(values_, first, d, p_, visible_, block);
        for (int i = 0; i < kQueries; ++i) {
          float* total = total_ + (first + i) * padded_ + d;
          if (begin != 0) {
            block[i] = Fma(Load(total), Set1(a[first + i]), Mul(block[i], Set1(b[first + i])));
          }
          Store(total, block[i]);
        }
      });
    }
  }

  const AttentionTile& tile_;
  int64_t padded_;
  float* p_;      // [query][kAttentionBlock]: scores, then weights
  float* total_;  // [query][padded_]
  ValueRows values_;
  int first_visible_ = 0;
  int visible_[kMaxTileQueries];
  float block_max_[kMaxTileQueries], block_sum_[kMaxTileQueries];
  float max_[kMaxTileQueries], sum_[kMaxTileQueries];
};

inline void AttendTile(const AttentionTile& tile) {
  switch (tile.layout.type) {
    case KvType::kF16:
      return TileAttention<KvF16>(tile).Run();
    case KvType::kF32:
      return TileAttention<KvF32>(tile).Run();
    case KvType::kQ8_0:
      return TileAttention<KvQ8_0>(tile).Run();
  }
}

}  // namespace baton::BATON_VECTOR_NAMESPACE
