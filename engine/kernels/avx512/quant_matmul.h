// Products of quantized weights and int8 activations with AVX-512 VNNI.
//
// vpdpbusd multiplies unsigned bytes (weights) with signed bytes (activations) and adds groups of
// four to int32 lanes. The offset that makes weights unsigned is taken back by the accumulator's
// first value, from the block's activation sum. Two groups of rows share each broadcast of
// activations. Everything in integers is exact; the floats follow the order of the scalar twin.
#ifndef BATON_ENGINE_KERNELS_AVX512_QUANT_MATMUL_H_
#define BATON_ENGINE_KERNELS_AVX512_QUANT_MATMUL_H_

#include <cstdint>
#include <cstring>

#include "engine/kernels/avx512/quant_formats.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/vector/row_tiles.h"
#include "engine/kernels/vector/unroll.h"

namespace baton::avx512 {

// Four bytes, or two int16, in every lane.
inline __m512i Broadcast4(const void* values) {
  int32_t four;
  std::memcpy(&four, values, sizeof four);
  return SetInt(four);
}

// What takes back the offset of unsigned weights from the dot product with a whole block of x: the
// offset is a power of two, so that this is one shift.
template <int kOffset>
[[gnu::always_inline]] inline __m512i TakeBack(const QuantizedBlock& x) {
  if constexpr (kOffset == 0) return _mm512_setzero_si512();
  return _mm512_slli_epi32(SetInt(x.minus_sum), __builtin_ctz(kOffset));
}
// The same for half `h` of the block.
template <int kOffset>
[[gnu::always_inline]] inline __m512i TakeBackHalf(const QuantizedBlock& x, int h) {
  if constexpr (kOffset == 0) return _mm512_setzero_si512();
  const __m512i factor = SetInt(h == 0 ? -kOffset & 0xffff : -kOffset * 0x10000);
  return _mm512_madd_epi16(Broadcast4(x.half_sums), factor);
}

// Adds quads [kBegin, kBegin + kCount) of a strip to dot[g][r].
template <typename Strip, int kBegin, int kCount, int kGroups, int kRows>
[[gnu::always_inline]] inline void DotQuads(const Strip* const (&strips)[kGroups],
                                            const QuantizedBlock* const (&x)[kRows],
                                            __m512i (&dot)[kGroups][kRows]) {
  Unroll<kCount>([&](auto i) __attribute__((always_inline)) {
    constexpr int quad = kBegin + i;
    __m512i w[kGroups];
    Unroll<kGroups>([&](auto g) __attribute__((always_inline)) { w[g] = Quad(*strips[g], quad); });
    Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
      const __m512i v = Broadcast4(x[r]->values + 4 * quad);
      Unroll<kGroups>([&](auto g) __attribute__((always_inline)) {
        dot[g][r] = AddDots(dot[g][r], w[g], v);
      });
    });
  });
}

// Adds one strip to the sums of kGroups groups and kRows rows of x, for the rules without halves.
template <typename Unit, int kGroups, int kRows>
[[gnu::always_inline]] inline void AddWhole(const typename Unit::Strip* const (&strips)[kGroups],
                                            const Scales (&scales)[kGroups],
                                            const QuantizedBlock* const (&x)[kRows],
                                            F32x16 (&sum)[kGroups][kRows]) {
  using Strip = typename Unit::Strip;
  __m512i dot[kGroups][kRows];
  ForAll<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    dot[g][r] = TakeBack<OffsetOf<Strip>()>(*x[r]);
  });
  DotQuads<Strip, 0, 8, kGroups, kRows>(strips, x, dot);
  ForAll<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    const F32x16 scale = Set1(x[r]->scale);
    sum[g][r] = Fma(ToFloats(dot[g][r]), Mul(scales[g].d, scale), sum[g][r]);
    if constexpr (RuleOf<Unit>() == Rule::kScaleMin) {
      sum[g][r] = Fma(scales[g].m, Set1(x[r]->scaled_sum), sum[g][r]);
    }
  });
}

// The same for two halves that each have a scale in float.
template <typename Unit, int kGroups, int kRows>
[[gnu::always_inline]] inline void AddEachHalf(const typename Unit::Strip* const (&strips)[kGroups],
                                               const Scales (&scales)[kGroups],
                                               const QuantizedBlock* const (&x)[kRows],
                                               F32x16 (&sum)[kGroups][kRows]) {
  using Strip = typename Unit::Strip;
  Unroll<2>([&](auto h) __attribute__((always_inline)) {
    __m512i dot[kGroups][kRows];
    ForAll<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
      dot[g][r] = TakeBackHalf<OffsetOf<Strip>()>(*x[r], h);
    });
    DotQuads<Strip, 4 * h, 4, kGroups, kRows>(strips, x, dot);
    ForAll<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
      const F32x16 d = h == 0 ? scales[g].d : scales[g].m;
      sum[g][r] = Fma(ToFloats(dot[g][r]), Mul(d, Set1(x[r]->scale)), sum[g][r]);
    });
  });
}

// The same for the rules with a sub-scale per half. Each half's scaled dot product and their sum
// are integers below 2^24, so the floats that carry them are exact.
template <typename Unit, int kGroups, int kRows>
[[gnu::always_inline]] inline void AddHalves(const typename Unit::Strip* const (&strips)[kGroups],
                                             const Scales (&scales)[kGroups],
                                             const QuantizedBlock* const (&x)[kRows],
                                             F32x16 (&sum)[kGroups][kRows]) {
  using Strip = typename Unit::Strip;
  constexpr int kOffset = OffsetOf<Strip>();
  __m512i dot[kGroups][kRows];
  F32x16 scaled[kGroups][kRows];
  ForAll<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    dot[g][r] = TakeBackHalf<kOffset>(*x[r], 0);
  });
  DotQuads<Strip, 0, 4, kGroups, kRows>(strips, x, dot);
  ForAll<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    scaled[g][r] = Mul(ToFloats(dot[g][r]), scales[g].sub[0]);
    dot[g][r] = TakeBackHalf<kOffset>(*x[r], 1);
  });
  DotQuads<Strip, 4, 4, kGroups, kRows>(strips, x, dot);
  ForAll<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    const F32x16 scale = Set1(x[r]->scale);
    const F32x16 t = Fma(ToFloats(dot[g][r]), scales[g].sub[1], scaled[g][r]);
    sum[g][r] = Fma(t, Mul(scales[g].d, scale), sum[g][r]);
    if constexpr (RuleOf<Unit>() == Rule::kSubMin) {
      const __m512i min = _mm512_madd_epi16(scales[g].min, Broadcast4(x[r]->half_sums));
      sum[g][r] = Fma(ToFloats(min), Mul(scales[g].m, scale), sum[g][r]);
    }
  });
}

// Weights that are to be in the level-2 cache when their turn comes, fetched a few lines at a time
// while others are multiplied. Nearer distances, and the level-1 cache, were slower.
class Prefetcher {
 public:
  // [begin, begin + bytes), spread over `steps` calls of Step().
  Prefetcher(const uint8_t* begin, int64_t bytes, int64_t steps)
      : next_(reinterpret_cast<const char*>(begin)),
        end_(next_ + bytes),
        step_bytes_((bytes / kLineBytes + steps - 1) / steps * kLineBytes) {}

  [[gnu::always_inline]] void Step() {
    if (next_ >= end_) return;
    for (int64_t at = 0; at < step_bytes_; at += kLineBytes) _mm_prefetch(next_ + at, _MM_HINT_T1);
    next_ += step_bytes_;
  }

 private:
  static constexpr int64_t kLineBytes = 64;
  const char* next_;
  const char* const end_;
  const int64_t step_bytes_;
};

template <typename Unit, int kGroups, int kRows>
void QuantTile(const uint8_t* groups, int64_t group_bytes, const QuantizedRows& rows, int64_t first,
               Prefetcher& ahead, float* out, int64_t out_stride) {
  const Unit* units[kGroups];
  const QuantizedBlock* x[kRows];
  F32x16 sum[kGroups][kRows];
  Unroll<kGroups>([&](auto g) __attribute__((always_inline)) {
    units[g] = reinterpret_cast<const Unit*>(groups + g * group_bytes);
  });
  Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
    x[r] = rows.blocks + (first + r) * rows.blocks_per_row;
  });
  ForAll<kGroups, kRows>([&](auto g, auto r)
                             __attribute__((always_inline)) { sum[g][r] = Zero(); });
  for (int64_t u = 0; u < rows.blocks_per_row / Unit::kStrips; ++u) {
    for (int s = 0; s < Unit::kStrips; ++s) {
      ahead.Step();
      const typename Unit::Strip* strips[kGroups];
      Scales scales[kGroups];
      Unroll<kGroups>([&](auto g) __attribute__((always_inline)) {
        strips[g] = &units[g][u].strips[s];
        scales[g] = GetScales(units[g][u], *strips[g]);
      });
      if constexpr (RuleOf<Unit>() == Rule::kHalves) {
        AddEachHalf<Unit, kGroups, kRows>(strips, scales, x, sum);
      } else if constexpr (HasHalves<Unit>()) {
        AddHalves<Unit, kGroups, kRows>(strips, scales, x, sum);
      } else {
        AddWhole<Unit, kGroups, kRows>(strips, scales, x, sum);
      }
      Unroll<kRows>([&](auto r) __attribute__((always_inline)) { ++x[r]; });
    }
  }
  ForAll<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    Store(out + r * out_stride + g * kRowGroup, sum[g][r]);
  });
}

// Rows of x in a tile. Six take 24 of 32 registers for sums and dot products. Every number of rows
// is code of its own, so the many formats that are looked up make do with four: half as much code.
template <typename Unit>
constexpr int TileRows() {
  constexpr bool kLooksUp = requires { Unit::Strip::kValues; };
  return kLooksUp ? 4 : 6;
}

// Two groups times all rows of x, in tiles of nearly equal numbers of rows; meanwhile the groups
// behind them come into the cache.
template <typename Unit>
void QuantGroupPair(const uint8_t* groups, int64_t group_bytes, const MatMulRows& rows, float* out,
                    int64_t out_stride) {
  constexpr int kTileRows = TileRows<Unit>();
  int64_t tiles = (rows.count + kTileRows - 1) / kTileRows;
  const int64_t bytes = 2 * group_bytes;
  Prefetcher ahead(groups + bytes, bytes, tiles * rows.quantized->blocks_per_row);
  int64_t first = rows.first;
  for (const int64_t end = rows.first + rows.count; first < end; --tiles) {
    WithRows<kTileRows>((end - first + tiles - 1) / tiles, [&]<int kRows>() {
      QuantTile<Unit, 2, kRows>(groups, group_bytes, *rows.quantized, first, ahead, out,
                                out_stride);
      first += kRows;
      out += kRows * out_stride;
    });
  }
}

// One group, row by row of x.
template <typename Unit>
void QuantSingleGroup(const uint8_t* group, const MatMulRows& rows, float* out,
                      int64_t out_stride) {
  Prefetcher nothing(group, 0, 1);
  for (int64_t r = 0; r < rows.count; ++r) {
    QuantTile<Unit, 1, 1>(group, 0, *rows.quantized, rows.first + r, nothing, out + r * out_stride,
                          out_stride);
  }
}

// A single row runs at the speed of memory, where one ascending stream per thread, left to the
// hardware's prefetching, is fastest: measured on a Zen 4 core, 26 GB/s against 21 for pairs of
// groups that are fetched ahead. From two rows on, pairs are at least as fast.
template <typename Unit>
void QuantMatMul(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                 const MatMulRows& rows, float* out, int64_t out_stride) {
  int64_t g = 0;
  if (rows.count > 1) {
    for (; g + 2 <= group_count; g += 2) {
      QuantGroupPair<Unit>(groups + g * group_bytes, group_bytes, rows, out + g * kRowGroup,
                           out_stride);
    }
  }
  for (; g < group_count; ++g) {
    QuantSingleGroup<Unit>(groups + g * group_bytes, rows, out + g * kRowGroup, out_stride);
  }
}

}  // namespace baton::avx512

#endif  // BATON_ENGINE_KERNELS_AVX512_QUANT_MATMUL_H_
