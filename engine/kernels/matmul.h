// out = x W^T for weights of every tensor type, under the numeric contract.
#ifndef BATON_ENGINE_KERNELS_MATMUL_H_
#define BATON_ENGINE_KERNELS_MATMUL_H_

#include <cstdint>

#include "absl/types/span.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/thread_pool.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/packed_matrix.h"

namespace baton {

// The left side of one or several products: the float rows, and their int8 form. Made once where
// several matrices (q, k, v) share an input. Keeps its memory for the next Set().
class MatMulInput {
 public:
  // Borrows x [rows][columns] until the next Set(). `quantize` is needed when a matrix of
  // quantized format will be multiplied.
  void Set(const Kernels& kernels, ThreadPool& pool, const float* x, int64_t rows, int64_t columns,
           bool quantize);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  const float* floats() const { return x_; }
  const QuantizedRows& quantized() const { return quantized_; }

 private:
  const float* x_ = nullptr;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  QuantizedRows quantized_ = {};
  AlignedBuffer memory_;
};

// True where a product with this matrix reads the int8 form of its input.
bool NeedsQuantizedInput(const PackedMatrix& matrix);

// out[r][j] = sum over i of x[r][i] * w[j][i], for j in [0, w.rows()); `out_stride` floats between
// rows of out, at least w.rows(). Splits over outputs, never over a sum.
void MatMul(const Kernels& kernels, ThreadPool& pool, const PackedMatrix& w, const MatMulInput& x,
            float* out, int64_t out_stride);

// One of several products in one run of the pool: each start and end of a run costs microseconds,
// which a decode step pays hundreds of times.
struct MatMulTarget {
  const PackedMatrix* w;
  float* out;
  int64_t stride;  // floats between rows of out
  // Rows of the input that meet the matrix; the first one's result is at `out`.
  int64_t first_row;
  int64_t row_count;
};
// For q, k and v or gate and up, which share all rows; and for experts and heads, which have some
// each.
void MatMul(const Kernels& kernels, ThreadPool& pool, absl::Span<const MatMulTarget> targets,
            const MatMulInput& x);

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_MATMUL_H_
