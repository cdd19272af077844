// Products with F32, F16 and BF16 weights over F32x16; the rules of elementwise-inl.h apply.

#include <cstdint>

#include "engine/kernels/kernels.h"

namespace baton::BATON_VECTOR_NAMESPACE {

struct WeightF32 {
  static F32x16 Get(const uint8_t* group, int64_t i) {
    return Load(reinterpret_cast<const float*>(group) + i * kRowGroup);
  }
};
struct WeightF16 {
  static F32x16 Get(const uint8_t* group, int64_t i) {
    return LoadHalf(reinterpret_cast<const uint16_t*>(group) + i * kRowGroup);
  }
};
struct WeightBF16 {
  static F32x16 Get(const uint8_t* group, int64_t i) {
    return LoadBFloat16(reinterpret_cast<const uint16_t*>(group) + i * kRowGroup);
  }
};

// kGroups groups times kRows rows of x: one chain of fused multiply-adds per output. Few rows take
// many groups, and the other way round, so that enough chains hide the latency of each.
template <typename Weight, int kGroups, int kRows>
inline void FloatTile(const uint8_t* groups, int64_t group_bytes, const float* x, int64_t columns,
                      float* out, int64_t out_stride) {
  F32x16 sum[kGroups][kRows];
  for (int g = 0; g < kGroups; ++g) {
    for (int r = 0; r < kRows; ++r) sum[g][r] = Zero();
  }
  for (int64_t i = 0; i < columns; ++i) {
    F32x16 w[kGroups];
    for (int g = 0; g < kGroups; ++g) w[g] = Weight::Get(groups + g * group_bytes, i);
    for (int r = 0; r < kRows; ++r) {
      const F32x16 v = Set1(x[r * columns + i]);
      for (int g = 0; g < kGroups; ++g) sum[g][r] = Fma(w[g], v, sum[g][r]);
    }
  }
  for (int g = 0; g < kGroups; ++g) {
    for (int r = 0; r < kRows; ++r) Store(out + r * out_stride + g * kRowGroup, sum[g][r]);
  }
}

template <typename Weight, int kGroups, int kRows>
inline void FloatGroups(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                        const float* x, int64_t columns, float* out, int64_t out_stride) {
  int64_t g = 0;
  for (; g + kGroups <= group_count; g += kGroups) {
    FloatTile<Weight, kGroups, kRows>(groups + g * group_bytes, group_bytes, x, columns,
                                      out + g * kRowGroup, out_stride);
  }
  for (; g < group_count; ++g) {
    FloatTile<Weight, 1, kRows>(groups + g * group_bytes, group_bytes, x, columns,
                                out + g * kRowGroup, out_stride);
  }
}

template <typename Weight>
void FloatMatMul(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                 const MatMulRows& rows, float* out, int64_t out_stride) {
  const float* x = rows.floats + rows.first * rows.columns;
  int64_t left = rows.count;
  const auto run = [&]<int kGroups, int kRows>() {
    FloatGroups<Weight, kGroups, kRows>(groups, group_bytes, group_count, x, rows.columns, out,
                                        out_stride);
    x += kRows * rows.columns;
    out += kRows * out_stride;
    left -= kRows;
  };
  while (left >= 6) run.template operator()<1, 6>();
  switch (left) {
    case 5:
      return run.template operator()<1, 5>();
    case 4:
      return run.template operator()<1, 4>();
    case 3:
      return run.template operator()<2, 3>();
    case 2:
      return run.template operator()<2, 2>();
    case 1:
      return run.template operator()<4, 1>();
  }
}

}  // namespace baton::BATON_VECTOR_NAMESPACE
