// The scalar kernels: the numeric contract in plain loops. Slow, obvious, and what every other
// kernel is compared with.
#ifndef BATON_ENGINE_KERNELS_SCALAR_SCALAR_H_
#define BATON_ENGINE_KERNELS_SCALAR_SCALAR_H_

#include "engine/kernels/attention_tile.h"
#include "engine/kernels/kernels.h"

namespace baton::scalar {

// The tree that adds kLanes partial sums: 8 apart, then 4, 2, 1.
float AddLanes(const float (&lanes)[kLanes]);

void QuantizeRow(const float* x, const QuantizedRows& out, int64_t row);
void RmsNorm(const float* x, const float* weight, float epsilon, int64_t n, float* out);
void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, int64_t n,
               float* out);
void Add(float* x, const float* y, int64_t n);
void AddScaled(float* x, const float* y, float scale, int64_t n);
void SiluMultiply(const float* gate, const float* up, int64_t n, float* out);
void GeluMultiply(const float* gate, const float* up, int64_t n, float* out);
void Gelu(const float* x, int64_t n, float* out);
void SwigluClampedMultiply(const float* gate, const float* up, int64_t n, float* out);
void Scale(float* x, float factor, int64_t n);
void SoftCap(float* x, float cap, int64_t n);
void RopeAdjacent(float* x, const float* cosine, const float* sine, int64_t pair_count);
void RopeHalves(float* x, const float* cosine, const float* sine, int64_t pair_count);
void ToHalf(const float* x, int64_t n, uint16_t* out);
void AttendTile(const AttentionTile& tile);
void MergeTile(const AttentionTile& tile);
float ReadMax(const float* data, int64_t count, int streams, int64_t prefetch_bytes);

template <PackedFormat kFormat>
void MatMulGroups(const uint8_t* groups, int64_t group_bytes, int64_t group_count,
                  const MatMulRows& rows, float* out, int64_t out_stride);

}  // namespace baton::scalar

namespace baton {

const Kernels& ScalarKernels();

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_SCALAR_SCALAR_H_
