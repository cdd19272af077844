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
#include "engine/kernels/vector/unroll.h"

namespace baton::avx512 {

inline __m512i Broadcast4(const int8_t* values) {
  int32_t four;
  std::memcpy(&four, values, sizeof four);
  return SetInt(four);
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

// Calls body(g, r) for all groups and rows.
template <int kGroups, int kRows, typename Body>
[[gnu::always_inline]] inline void ForTile(const Body& body) {
  Unroll<kGroups * kRows>([&](auto at) __attribute__((always_inline)) {
    body(Index<at / kRows>(), Index<at % kRows>());
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
  ForTile<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    dot[g][r] = SetInt(-OffsetOf<Strip>() * (x[r]->sums[0] + x[r]->sums[1]));
  });
  DotQuads<Strip, 0, 8, kGroups, kRows>(strips, x, dot);
  ForTile<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    const F32x16 scale = Set1(x[r]->scale);
    sum[g][r] = Fma(ToFloats(dot[g][r]), Mul(scales[g].d, scale), sum[g][r]);
    if constexpr (RuleOf<Unit>() == Rule::kScaleMin) {
      sum[g][r] = Fma(scales[g].m, Set1(x[r]->scaled_sum), sum[g][r]);
    }
  });
}

// The same for the rules with a scale per half. Each half's scaled dot product and their sum are
// integers below 2^24, so the floats that carry them are exact.
template <typename Unit, int kGroups, int kRows>
[[gnu::always_inline]] inline void AddHalves(const typename Unit::Strip* const (&strips)[kGroups],
                                             const Scales (&scales)[kGroups],
                                             const QuantizedBlock* const (&x)[kRows],
                                             F32x16 (&sum)[kGroups][kRows]) {
  using Strip = typename Unit::Strip;
  constexpr int kOffset = OffsetOf<Strip>();
  __m512i dot[kGroups][kRows];
  F32x16 scaled[kGroups][kRows];
  ForTile<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    dot[g][r] = SetInt(-kOffset * x[r]->sums[0]);
  });
  DotQuads<Strip, 0, 4, kGroups, kRows>(strips, x, dot);
  ForTile<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    scaled[g][r] = Mul(ToFloats(dot[g][r]), scales[g].sub[0]);
    dot[g][r] = SetInt(-kOffset * x[r]->sums[1]);
  });
  DotQuads<Strip, 4, 4, kGroups, kRows>(strips, x, dot);
  ForTile<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    const F32x16 scale = Set1(x[r]->scale);
    const F32x16 t = Fma(ToFloats(dot[g][r]), scales[g].sub[1], scaled[g][r]);
    sum[g][r] = Fma(t, Mul(scales[g].d, scale), sum[g][r]);
    if constexpr (RuleOf<Unit>() == Rule::kSubMin) {
      const F32x16 u = Fma(scales[g].min[1], Set1(static_cast<float>(x[r]->sums[1])),
                           Mul(scales[g].min[0], Set1(static_cast<float>(x[r]->sums[0]))));
      sum[g][r] = Fma(u, Mul(scales[g].m, scale), sum[g][r]);
    }
  });
}

template <typename Unit, int kGroups, int kRows>
void QuantTile(const uint8_t* groups, int64_t group_bytes, const QuantizedRows& rows, int64_t first,
               float* out, int64_t out_stride) {
  constexpr bool kHalves = RuleOf<Unit>() == Rule::kSub || RuleOf<Unit>() == Rule::kSubMin;
  const Unit* units[kGroups];
  const QuantizedBlock* x[kRows];
  F32x16 sum[kGroups][kRows];
  Unroll<kGroups>([&](auto g) __attribute__((always_inline)) {
    units[g] = reinterpret_cast<const Unit*>(groups + g * group_bytes);
  });
  Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
    x[r] = rows.blocks + (first + r) * rows.blocks_per_row;
  });
  ForTile<kGroups, kRows>([&](auto g, auto r)
                              __attribute__((always_inline)) { sum[g][r] = Zero(); });
  for (int64_t u = 0; u < rows.blocks_per_row / Unit::kStrips; ++u) {
    for (int s = 0; s < Unit::kStrips; ++s) {
      const typename Unit::Strip* strips[kGroups];
      Scales scales[kGroups];
      Unroll<kGroups>([&](auto g) __attribute__((always_inline)) {
        strips[g] = &units[g][u].strips[s];
        scales[g] = GetScales(units[g][u], *strips[g]);
      });
      if constexpr (kHalves) {
        AddHalves<Unit, kGroups, kRows>(strips, scales, x, sum);
      } else {
        AddWhole<Unit, kGroups, kRows>(strips, scales, x, sum);
      }
      Unroll<kRows>([&](auto r) __attribute__((always_inline)) { ++x[r]; });
    }
  }
  ForTile<kGroups, kRows>([&](auto g, auto r) __attribute__((always_inline)) {
    Store(out + r * out_stride + g * kRowGroup, sum[g][r]);
  });
}

// kGroups groups times all rows of x.
template <typename Unit, int kGroups>
void QuantGroups(const uint8_t* groups, int64_t group_bytes, const MatMulRows& rows, float* out,
                 int64_t out_stride) {
  // Two groups and six rows take 24 of 32 registers for sums and dot products.
  constexpr int kTileRows = 6;
  int64_t first = rows.first;
  const int64_t end = rows.first + rows.count;
  const auto run = [&]<int kRows>() {
    QuantTile<Unit, kGroups, kRows>(groups, group_bytes, *rows.quantized, first, out, out_stride);
    first += kRows;
    out += kRows * out_stride;
  };
  while (end - first >= kTileRows) run.template operator()<kTileRows>();
  switch (end - first) {
    case 5:
      return run.template operator()<5>();
    case 4:
      return run.template operator()<4>();
    case 3:
      return run.template operator()<3>();
    case 2:
      return run.template operator()<2>();
    case 1:
      return run.template operator()<1>();
  }
}

template <typename Unit>
void QuantMatMul(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                 const MatMulRows& rows, float* out, int64_t out_stride) {
  int64_t g = 0;
  for (; g + 2 <= group_count; g += 2) {
    QuantGroups<Unit, 2>(groups + g * group_bytes, group_bytes, rows, out + g * kRowGroup,
                         out_stride);
  }
  if (g < group_count) {
    QuantGroups<Unit, 1>(groups + g * group_bytes, group_bytes, rows, out + g * kRowGroup,
                         out_stride);
  }
}

}  // namespace baton::avx512

#endif  // BATON_ENGINE_KERNELS_AVX512_QUANT_MATMUL_H_
