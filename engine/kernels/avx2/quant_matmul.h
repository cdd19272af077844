// Products of quantized weights and int8 activations with AVX2.
//
// vpmaddubsw multiplies unsigned bytes of weights with signed bytes of activations and adds pairs
// in int16; several such results are added before vpmaddwd widens them to int32, as many as can't
// overflow (QuadsPerRun). With AVX-VNNI, vpdpbusd does all of that at once where a strip has one
// scale. Everything in integers is exact; the floats follow the order of the scalar twin.
#ifndef BATON_ENGINE_KERNELS_AVX2_QUANT_MATMUL_H_
#define BATON_ENGINE_KERNELS_AVX2_QUANT_MATMUL_H_

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "engine/kernels/avx2/quant_formats.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/vector/row_tiles.h"
#include "engine/kernels/vector/unroll.h"

namespace baton::BATON_VECTOR_NAMESPACE {

// Four activations of one row of x as they meet four columns of eight weight rows.
inline __m256i Broadcast4(const int8_t* values) {
  int32_t four;
  std::memcpy(&four, values, sizeof four);
  return _mm256_set1_epi32(four);
}

template <bool kSigned>
inline __m256i MultiplyPairs(__m256i w, __m256i x) {
  return kSigned ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                 : _mm256_maddubs_epi16(w, x);
}

inline constexpr int kHalfRows = 8;  // weight rows in a register
inline constexpr int kHalves = kRowGroup / kHalfRows;

template <typename Unit>
constexpr bool HasSubScales() {
  return RuleOf<Unit>() == Rule::kSub || RuleOf<Unit>() == Rule::kSubMin;
}

// dot[h][r]: sum of q * x over quads [kBegin, kBegin + kCount) of the strip (kScale*, kHalves), or
// of sub-scale * q * x (kSub*), without the offset of the latter.
template <typename Unit, int kRows, int kBegin = 0, int kCount = 8>
[[gnu::always_inline]] inline void DotPairs(const typename Unit::Strip& strip,
                                            const Scales (&scales)[kHalves],
                                            const QuantizedBlock* const (&x)[kRows],
                                            __m256i (&dot)[kHalves][kRows]) {
  constexpr int kQuads = QuadsPerRun<Unit>();
  constexpr int kOffset = HasSubScales<Unit>() ? 0 : Unit::Strip::kOffset;
  static_assert(kCount == 8 || kOffset == 0);
  constexpr bool kSigned = Unit::Strip::kBits == 8;
  Unroll<kCount / kQuads>([&](auto run) __attribute__((always_inline)) {
    __m256i pairs[kHalves][kRows];
    Unroll<kQuads>([&](auto i) __attribute__((always_inline)) {
      // Quads j and j + 4 share their bytes: one after the other where the sum allows it.
      constexpr int quad = kQuads == 8 ? i / 2 + 4 * (i % 2) : kBegin + run * kQuads + i;
      const __m256i w0 = Quad(strip, quad, 0);
      const __m256i w1 = Quad(strip, quad, 4 * kHalfRows);
      Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
        const __m256i v = Broadcast4(x[r]->values + 4 * quad);
        const __m256i product0 = MultiplyPairs<kSigned>(w0, v);
        const __m256i product1 = MultiplyPairs<kSigned>(w1, v);
        pairs[0][r] = i == 0 ? product0 : _mm256_add_epi16(pairs[0][r], product0);
        pairs[1][r] = i == 0 ? product1 : _mm256_add_epi16(pairs[1][r], product1);
      });
    });
    ForAll<kHalves, kRows>([&](auto h, auto r) __attribute__((always_inline)) {
      const __m256i factor =
          HasSubScales<Unit>() ? scales[h].sub[run * kQuads / 4] : _mm256_set1_epi16(1);
      const __m256i wide = _mm256_madd_epi16(pairs[h][r], factor);
      if (run == 0 && kOffset == 0) {
        dot[h][r] = wide;
      } else {
        const __m256i before = run == 0 ? _mm256_set1_epi32(kOffset * x[r]->minus_sum) : dot[h][r];
        dot[h][r] = _mm256_add_epi32(before, wide);
      }
    });
  });
}

#ifdef BATON_AVX_VNNI
// Per lane: sum + the dot product of four unsigned bytes of w and four signed ones of x.
inline __m256i AddDots(__m256i sum, __m256i w, __m256i x) {
#ifdef BATON_EMULATE_AVX_VNNI
  // Even bytes and odd bytes as int16, whose products are exact in int32.
  const __m256i even = _mm256_madd_epi16(_mm256_and_si256(w, _mm256_set1_epi16(0xff)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(w, 8), _mm256_srai_epi16(x, 8));
  return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
#else
  return _mm256_dpbusd_avx_epi32(sum, w, x);
#endif
}

// The same for the rules without halves. Signed bytes become unsigned by turning their highest bit,
// which adds 128; the accumulator's first value takes offsets back.
template <typename Unit, int kRows>
[[gnu::always_inline]] inline void DotFours(const typename Unit::Strip& strip,
                                            const QuantizedBlock* const (&x)[kRows],
                                            __m256i (&dot)[kHalves][kRows]) {
  constexpr bool kSigned = Unit::Strip::kBits == 8;
  constexpr int kOffset = kSigned ? 128 : Unit::Strip::kOffset;
  ForAll<kHalves, kRows>([&](auto h, auto r) __attribute__((always_inline)) {
    dot[h][r] = _mm256_set1_epi32(kOffset * x[r]->minus_sum);
  });
  Unroll<8>([&](auto i) __attribute__((always_inline)) {
    constexpr int quad = i / 2 + 4 * (i % 2);
    __m256i w[kHalves];
    Unroll<kHalves>([&](auto h) __attribute__((always_inline)) {
      w[h] = Quad(strip, quad, 4 * kHalfRows * h);
      if (kSigned) w[h] = _mm256_xor_si256(w[h], _mm256_set1_epi8(-128));
    });
    Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
      const __m256i v = Broadcast4(x[r]->values + 4 * quad);
      Unroll<kHalves>([&](auto h) __attribute__((always_inline)) {
        dot[h][r] = AddDots(dot[h][r], w[h], v);
      });
    });
  });
}
#endif

template <typename Unit, int kRows>
[[gnu::always_inline]] inline void DotStrip(const typename Unit::Strip& strip,
                                            const Scales (&scales)[kHalves],
                                            const QuantizedBlock* const (&x)[kRows],
                                            __m256i (&dot)[kHalves][kRows]) {
#ifdef BATON_AVX_VNNI
  if constexpr (!HasHalves<Unit>()) return DotFours<Unit, kRows>(strip, x, dot);
#endif
  DotPairs<Unit, kRows>(strip, scales, x, dot);
}

// What one strip adds to the sum of eight weight rows and one row of x.
template <typename Unit>
[[gnu::always_inline]] inline __m256 AddDot(__m256i dot, const Scales& scales,
                                            const QuantizedBlock& x, __m256 sum) {
  constexpr Rule kRule = RuleOf<Unit>();
  constexpr int kOffset = Unit::Strip::kOffset;
  if constexpr (kRule == Rule::kSub) {
    // -offset * sum, split over the int16 pair that vpmaddwd adds up: it fits, as |sum| <= 2032.
    for (int h = 0; h < 2; ++h) {
      const __m256i part = _mm256_set1_epi16(static_cast<int16_t>(-kOffset / 2 * x.half_sums[h]));
      dot = _mm256_add_epi32(dot, _mm256_madd_epi16(scales.sub[h], part));
    }
  }
  const __m256 scale = _mm256_set1_ps(x.scale);
  sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(scales.d, scale), sum);
  if constexpr (kRule == Rule::kScaleMin) {
    sum = _mm256_fmadd_ps(scales.m, _mm256_set1_ps(x.scaled_sum), sum);
  }
  if constexpr (kRule == Rule::kSubMin) {
    int32_t half_sums;
    std::memcpy(&half_sums, x.half_sums, sizeof half_sums);
    const __m256i minimum = _mm256_madd_epi16(scales.min, _mm256_set1_epi32(half_sums));
    sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(minimum), _mm256_mul_ps(scales.m, scale), sum);
  }
  return sum;
}

template <typename Unit, int kRows>
[[gnu::always_inline]] inline void AddStrip(const typename Unit::Strip& strip,
                                            const Scales (&scales)[kHalves],
                                            const QuantizedBlock* const (&x)[kRows],
                                            __m256 (&sum)[kHalves][kRows]) {
  __m256i dot[kHalves][kRows];
  if constexpr (RuleOf<Unit>() == Rule::kHalves) {
    Unroll<2>([&](auto half) __attribute__((always_inline)) {
      DotPairs<Unit, kRows, 4 * half, 4>(strip, scales, x, dot);
      ForAll<kHalves, kRows>([&](auto h, auto r) __attribute__((always_inline)) {
        const __m256 d = half == 0 ? scales[h].d : scales[h].m;
        sum[h][r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[h][r]),
                                    _mm256_mul_ps(d, _mm256_set1_ps(x[r]->scale)), sum[h][r]);
      });
    });
  } else {
    DotStrip<Unit, kRows>(strip, scales, x, dot);
    ForAll<kHalves, kRows>([&](auto h, auto r) __attribute__((always_inline)) {
      sum[h][r] = AddDot<Unit>(dot[h][r], scales[h], *x[r], sum[h][r]);
    });
  }
}

// The hardware's own prefetching starts anew with every piece of work. Up to 16 rows of x this is
// worth a tenth to a quarter of the speed, and with more of them it costs nothing.
inline constexpr int64_t kPrefetchDistanceBytes = 4096;

[[gnu::always_inline]] inline void Prefetch(const void* strip, int64_t bytes) {
  const char* ahead = static_cast<const char*>(strip) + kPrefetchDistanceBytes;
  for (int64_t at = 0; at < bytes; at += 64) _mm_prefetch(ahead + at, _MM_HINT_T0);
}

// One group times kRows rows of x.
template <typename Unit, int kRows>
void QuantTile(const uint8_t* group, const QuantizedRows& rows, int64_t first, float* out,
               int64_t out_stride) {
  const Unit* units = reinterpret_cast<const Unit*>(group);
  const QuantizedBlock* x[kRows];
  for (int r = 0; r < kRows; ++r) x[r] = rows.blocks + (first + r) * rows.blocks_per_row;
  __m256 sum[kHalves][kRows];
  ForAll<kHalves, kRows>([&](auto h, auto r)
                             __attribute__((always_inline)) { sum[h][r] = _mm256_setzero_ps(); });
  for (int64_t u = 0; u < rows.blocks_per_row / Unit::kStrips; ++u) {
    for (int s = 0; s < Unit::kStrips; ++s) {
      const typename Unit::Strip& strip = units[u].strips[s];
      Prefetch(&strip, sizeof strip);
      Scales scales[kHalves];
      scales[0] = GetScales(units[u], strip, 0);
      scales[1] = GetScales(units[u], strip, kHalfRows);
      AddStrip<Unit, kRows>(strip, scales, x, sum);
      Unroll<kRows>([&](auto r) __attribute__((always_inline)) { ++x[r]; });
    }
  }
  ForAll<kHalves, kRows>([&](auto h, auto r) __attribute__((always_inline)) {
    _mm256_storeu_ps(out + r * out_stride + kHalfRows * h, sum[h][r]);
  });
}

template <typename Unit>
void QuantMatMul(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                 const MatMulRows& rows, float* out, int64_t out_stride) {
  // Three rows of x with the 16 rows of a group: six sums of int16 pairs, two registers of weights
  // and one broadcast that both share; the running sums wait in the level-1 cache.
  constexpr int kTileRows = 3;
  for (int64_t g = 0; g < group_count; ++g) {
    ForRowTiles<kTileRows>(rows.count, [&]<int kRows>(int64_t first) {
      QuantTile<Unit, kRows>(groups + g * group_bytes, *rows.quantized, rows.first + first,
                             out + g * kRowGroup + first * out_stride, out_stride);
    });
  }
}

}  // namespace baton::BATON_VECTOR_NAMESPACE

#endif  // BATON_ENGINE_KERNELS_AVX2_QUANT_MATMUL_H_
