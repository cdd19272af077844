// Products of quantized weights and int8 activations with NEON.
//
// sdot multiplies signed bytes and adds groups of four to int32 lanes; its by-element form takes
// four activations out of a register as they are. Weights that are stored unsigned fit in signed
// bytes; their offset is taken back by the accumulator's first value, from the block's activation
// sum. Everything in integers is exact; the floats follow the order of the scalar twin.
#ifndef BATON_ENGINE_KERNELS_NEON_QUANT_MATMUL_H_
#define BATON_ENGINE_KERNELS_NEON_QUANT_MATMUL_H_

#include <arm_neon.h>

#include <cstdint>

#include "engine/kernels/kernels.h"
#include "engine/kernels/neon/quant_formats.h"
#include "engine/kernels/vector/row_tiles.h"
#include "engine/kernels/vector/unroll.h"

namespace baton::neon {

// Dot products of sixteen weight rows with one row of x.
struct I32x16 {
  int32x4_t v[4];  // rows 4 i to 4 i + 3
};

inline I32x16 SetInt(int32_t x) {
  const int32x4_t all = vdupq_n_s32(x);
  return {{all, all, all, all}};
}
inline F32x16 ToFloats(const I32x16& x) {
  return ForQuarters([&](int i) { return vcvtq_f32_s32(x.v[i]); });
}

// Adds half kHalf of a strip (16 columns) to the dot products of kRows rows of x.
template <typename Strip, int kHalf, int kRows>
[[gnu::always_inline]] inline void DotHalf(const Strip& strip,
                                           const QuantizedBlock* const (&x)[kRows],
                                           I32x16 (&dot)[kRows]) {
  int8x16_t v[kRows];
  Unroll<kRows>([&](auto r)
                    __attribute__((always_inline)) { v[r] = vld1q_s8(x[r]->values + 16 * kHalf); });
  Unroll<4>([&](auto j) __attribute__((always_inline)) {
    Unroll<4>([&](auto part) __attribute__((always_inline)) {
      const int8x16_t w = Quad<4 * kHalf + j>(strip, part);
      Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
        dot[r].v[part] = vdotq_laneq_s32(dot[r].v[part], w, v[r], j);
      });
    });
  });
}

// Adds one strip to the sums of kRows rows of x, for the rules without halves.
template <typename Unit, int kRows>
[[gnu::always_inline]] inline void AddWhole(const typename Unit::Strip& strip, const Scales& scales,
                                            const QuantizedBlock* const (&x)[kRows],
                                            F32x16 (&sum)[kRows]) {
  using Strip = typename Unit::Strip;
  I32x16 dot[kRows];
  Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
    dot[r] = SetInt(Strip::kOffset * x[r]->minus_sum);
  });
  DotHalf<Strip, 0, kRows>(strip, x, dot);
  DotHalf<Strip, 1, kRows>(strip, x, dot);
  Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
    sum[r] = Fma(ToFloats(dot[r]), Mul(scales.d, Set1(x[r]->scale)), sum[r]);
    if constexpr (RuleOf<Unit>() == Rule::kScaleMin) {
      sum[r] = Fma(scales.m, Set1(x[r]->scaled_sum), sum[r]);
    }
  });
}

// The same for two halves that each have a scale in float.
template <typename Unit, int kRows>
[[gnu::always_inline]] inline void AddEachHalf(const typename Unit::Strip& strip,
                                               const Scales& scales,
                                               const QuantizedBlock* const (&x)[kRows],
                                               F32x16 (&sum)[kRows]) {
  using Strip = typename Unit::Strip;
  Unroll<2>([&](auto h) __attribute__((always_inline)) {
    I32x16 dot[kRows];
    Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
      dot[r] = SetInt(-Strip::kOffset * x[r]->half_sums[h]);
    });
    DotHalf<Strip, h, kRows>(strip, x, dot);
    Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
      const F32x16 d = h == 0 ? scales.d : scales.m;
      sum[r] = Fma(ToFloats(dot[r]), Mul(d, Set1(x[r]->scale)), sum[r]);
    });
  });
}

// The same for the rules with a sub-scale per half. Each half's scaled dot product and their sum
// are integers below 2^24, so the floats that carry them are exact.
template <typename Unit, int kRows>
[[gnu::always_inline]] inline void AddHalves(const typename Unit::Strip& strip,
                                             const Scales& scales,
                                             const QuantizedBlock* const (&x)[kRows],
                                             F32x16 (&sum)[kRows]) {
  using Strip = typename Unit::Strip;
  I32x16 dot[kRows];
  F32x16 scaled[kRows];
  Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
    dot[r] = SetInt(-Strip::kOffset * x[r]->half_sums[0]);
  });
  DotHalf<Strip, 0, kRows>(strip, x, dot);
  Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
    scaled[r] = Mul(ToFloats(dot[r]), scales.sub[0]);
    dot[r] = SetInt(-Strip::kOffset * x[r]->half_sums[1]);
  });
  DotHalf<Strip, 1, kRows>(strip, x, dot);
  Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
    const F32x16 scale = Set1(x[r]->scale);
    const F32x16 t = Fma(ToFloats(dot[r]), scales.sub[1], scaled[r]);
    sum[r] = Fma(t, Mul(scales.d, scale), sum[r]);
    if constexpr (RuleOf<Unit>() == Rule::kSubMin) {
      const F32x16 u = Fma(scales.min[1], Set1(static_cast<float>(x[r]->half_sums[1])),
                           Mul(scales.min[0], Set1(static_cast<float>(x[r]->half_sums[0]))));
      sum[r] = Fma(u, Mul(scales.m, scale), sum[r]);
    }
  });
}

// One group times kRows rows of x.
template <typename Unit, int kRows>
void QuantTile(const uint8_t* group, const QuantizedRows& rows, int64_t first, float* out,
               int64_t out_stride) {
  const Unit* units = reinterpret_cast<const Unit*>(group);
  const QuantizedBlock* x[kRows];
  F32x16 sum[kRows];
  Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
    x[r] = rows.blocks + (first + r) * rows.blocks_per_row;
    sum[r] = Zero();
  });
  for (int64_t u = 0; u < rows.blocks_per_row / Unit::kStrips; ++u) {
    for (int s = 0; s < Unit::kStrips; ++s) {
      const typename Unit::Strip& strip = units[u].strips[s];
      const Scales scales = GetScales(units[u], strip);
      if constexpr (RuleOf<Unit>() == Rule::kHalves) {
        AddEachHalf<Unit, kRows>(strip, scales, x, sum);
      } else if constexpr (HasHalves<Unit>()) {
        AddHalves<Unit, kRows>(strip, scales, x, sum);
      } else {
        AddWhole<Unit, kRows>(strip, scales, x, sum);
      }
      Unroll<kRows>([&](auto r) __attribute__((always_inline)) { ++x[r]; });
    }
  }
  Unroll<kRows>([&](auto r)
                    __attribute__((always_inline)) { Store(out + r * out_stride, sum[r]); });
}

template <typename Unit>
void QuantMatMul(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                 const MatMulRows& rows, float* out, int64_t out_stride) {
  // Four rows of x keep 16 registers of dot products, four of weights and four of activations; the
  // running sums wait in the level-1 cache.
  constexpr int kTileRows = 4;
  for (int64_t g = 0; g < group_count; ++g) {
    ForRowTiles<kTileRows>(rows.count, [&]<int kRows>(int64_t first) {
      QuantTile<Unit, kRows>(groups + g * group_bytes, *rows.quantized, rows.first + first,
                             out + g * kRowGroup + first * out_stride, out_stride);
    });
  }
}

}  // namespace baton::neon

#endif  // BATON_ENGINE_KERNELS_NEON_QUANT_MATMUL_H_
