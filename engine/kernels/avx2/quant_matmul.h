// Products of quantized weights and int8 activations with AVX2.
//
// vpmaddubsw multiplies unsigned bytes of weights with signed bytes of activations and adds pairs
// in int16; several such results are added before vpmaddwd widens them to int32, as many as can't
// overflow (kParts in quant_formats.h). Everything in integers is exact; the floats follow the
// order of the scalar twin.
#ifndef BATON_ENGINE_KERNELS_AVX2_QUANT_MATMUL_H_
#define BATON_ENGINE_KERNELS_AVX2_QUANT_MATMUL_H_

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "engine/kernels/avx2/quant_formats.h"
#include "engine/kernels/kernels.h"

namespace baton::avx2 {

// Four activations of one row of x as they meet four columns of eight weight rows.
inline __m256i Broadcast4(const int8_t* values) {
  int32_t four;
  std::memcpy(&four, values, sizeof four);
  return _mm256_set1_epi32(four);
}

template <bool kSigned>
inline __m256i MultiplyPairs(__m256i w, __m256i magnitude, __m256i x) {
  return kSigned ? _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, w))
                 : _mm256_maddubs_epi16(w, x);
}

// dot[r]: sum of q * x over the strip (kScale*), or of sub-scale * q * x (kSub*), without offset.
template <typename Format, int kRows, typename Strip>
[[gnu::always_inline]] inline void DotStrip(const Strip& strip, int at, const Scales& scales,
                                            const int8_t* const (&x)[kRows],
                                            __m256i (&dot)[kRows]) {
  constexpr int kQuads = 8 / Format::kParts;
  constexpr bool kSub = Format::kRule == Rule::kSub || Format::kRule == Rule::kSubMin;
  for (int r = 0; r < kRows; ++r) dot[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int part = 0; part < Format::kParts; ++part) {
    __m256i pairs[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kQuads; ++i) {
      const int quad = part * kQuads + i;
      const __m256i w = Format::Quad(strip, quad, at);
      const __m256i magnitude = Format::kSigned ? _mm256_abs_epi8(w) : w;
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m256i product =
            MultiplyPairs<Format::kSigned>(w, magnitude, Broadcast4(x[r] + 4 * quad));
        pairs[r] = i == 0 ? product : _mm256_add_epi16(pairs[r], product);
      }
    }
    const __m256i factor = kSub ? scales.sub[part * kQuads / 4] : _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      dot[r] = _mm256_add_epi32(dot[r], _mm256_madd_epi16(pairs[r], factor));
    }
  }
}

// Adds one strip to the sums of eight weight rows and kRows rows of x.
template <typename Format, int kRows, typename Strip>
[[gnu::always_inline]] inline void AddStrip(const Strip& strip, int at, const Scales& scales,
                                            const QuantizedRows& x, int64_t first, int64_t index,
                                            __m256 (&sum)[kRows]) {
  const int8_t* values[kRows];
  for (int r = 0; r < kRows; ++r) values[r] = x.values + (first + r) * x.columns + index * 32;
  __m256i dot[kRows];
  DotStrip<Format, kRows>(strip, at, scales, values, dot);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const int64_t block = (first + r) * x.blocks + index;
    const int32_t* sums = x.sums + 2 * block;
    if constexpr (Format::kRule == Rule::kScale && Format::kOffset != 0) {
      dot[r] = _mm256_add_epi32(dot[r], _mm256_set1_epi32(-Format::kOffset * (sums[0] + sums[1])));
    }
    if constexpr (Format::kRule == Rule::kSub) {
      // -offset * sum, split over the int16 pair that vpmaddwd adds up: it fits, as |sum| <= 2032.
      for (int h = 0; h < 2; ++h) {
        const __m256i half =
            _mm256_set1_epi16(static_cast<int16_t>(-Format::kOffset / 2 * sums[h]));
        dot[r] = _mm256_add_epi32(dot[r], _mm256_madd_epi16(scales.sub[h], half));
      }
    }
    const __m256 scale = _mm256_set1_ps(x.scales[block]);
    sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[r]), _mm256_mul_ps(scales.d, scale), sum[r]);
    if constexpr (Format::kRule == Rule::kScaleMin) {
      sum[r] = _mm256_fmadd_ps(scales.m, _mm256_set1_ps(x.scaled_sums[block]), sum[r]);
    }
    if constexpr (Format::kRule == Rule::kSubMin) {
      const __m256i halves = _mm256_set1_epi32(
          (sums[0] & 0xffff) | static_cast<int32_t>(static_cast<uint32_t>(sums[1]) << 16));
      const __m256i minimum = _mm256_madd_epi16(scales.min, halves);
      sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(minimum), _mm256_mul_ps(scales.m, scale), sum[r]);
    }
  }
}

// One group times kRows rows of x.
template <typename Format, int kRows>
void QuantTile(const uint8_t* group, const QuantizedRows& x, int64_t first, float* out,
               int64_t out_stride) {
  using Unit = typename Format::Unit;
  const Unit* units = reinterpret_cast<const Unit*>(group);
  const int64_t unit_count = x.blocks / Unit::kStrips;
  for (int row = 0; row < kRowGroup; row += 8) {
    __m256 sum[kRows];
    for (int r = 0; r < kRows; ++r) sum[r] = _mm256_setzero_ps();
    for (int64_t u = 0; u < unit_count; ++u) {
      for (int s = 0; s < Unit::kStrips; ++s) {
        const auto& strip = units[u].strips[s];
        const Scales scales = Format::Get(units[u], strip, row);
        AddStrip<Format, kRows>(strip, 4 * row, scales, x, first, u * Unit::kStrips + s, sum);
      }
    }
    for (int r = 0; r < kRows; ++r) _mm256_storeu_ps(out + r * out_stride + row, sum[r]);
  }
}

template <typename Format>
void QuantMatMul(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                 const MatMulRows& rows, float* out, int64_t out_stride) {
  // One register per row for the running sum and one for the present strip: six rows fill the 16.
  constexpr int kTileRows = 6;
  for (int64_t g = 0; g < group_count; ++g) {
    const uint8_t* group = groups + g * group_bytes;
    float* to = out + g * kRowGroup;
    int64_t first = rows.first;
    const int64_t end = rows.first + rows.count;
    const auto run = [&]<int kRows>() {
      QuantTile<Format, kRows>(group, *rows.quantized, first, to, out_stride);
      first += kRows;
      to += kRows * out_stride;
    };
    while (end - first >= kTileRows) run.template operator()<kTileRows>();
    switch (end - first) {
      case 5:
        run.template operator()<5>();
        break;
      case 4:
        run.template operator()<4>();
        break;
      case 3:
        run.template operator()<3>();
        break;
      case 2:
        run.template operator()<2>();
        break;
      case 1:
        run.template operator()<1>();
        break;
    }
  }
}

}  // namespace baton::avx2

#endif  // BATON_ENGINE_KERNELS_AVX2_QUANT_MATMUL_H_
