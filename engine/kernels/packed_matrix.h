// A weight matrix of any tensor type, repacked for the kernels.
//
// Weights are repacked once at load: kRowGroup rows are interleaved, so that an output is a vector
// lane and its sum runs in one order, ascending over the columns, whatever the number of rows of x,
// the thread or the instruction set. Quantized types keep their bits per weight.
#ifndef BATON_ENGINE_KERNELS_PACKED_MATRIX_H_
#define BATON_ENGINE_KERNELS_PACKED_MATRIX_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/arena.h"
#include "engine/kernels/kernels.h"
#include "engine/quant/types.h"

namespace baton {

// How activations meet weights. F32, F16 and BF16 weights are the same in both modes.
enum class ActivationMode {
  kInt8,  // quantized weights meet activations rounded to int8 in blocks of 32
  kF32,   // weights are dequantized at load, activations stay as they are
};

class PackedMatrix {
 public:
  PackedMatrix() = default;
  // A matrix of `rows` outputs by `columns` inputs, to be filled by PackRows. ResourceExhausted
  // when memory is not to be had. `columns` must be a multiple of the type's quant block. The
  // memory is the arena's, which must outlive the matrix; with none, the matrix's own.
  static absl::StatusOr<PackedMatrix> Create(TensorType type, int64_t rows, int64_t columns,
                                             ActivationMode mode, Arena* arena = nullptr);

  // Packs rows [first_row, first_row + count) from their bytes in the file. first_row must be a
  // multiple of kRowGroup, and count too unless it ends the matrix. Thread-safe for distinct rows.
  void PackRows(int64_t first_row, int64_t count, const uint8_t* file_rows);

  // The row as floats, bit-equal to Dequantize() of its bytes in the file.
  void DequantizeRow(int64_t row, float* out) const;

  // The same matrix with no more than its first `rows` rows; lives as long as this one's memory.
  PackedMatrix FirstRows(int64_t rows) const;

  TensorType type() const { return type_; }  // as in the file
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  bool empty() const { return rows_ == 0; }
  PackedFormat format() const { return format_; }
  const uint8_t* group(int64_t index) const { return data_ + index * group_bytes_; }
  int64_t group_count() const { return (rows_ + kRowGroup - 1) / kRowGroup; }
  int64_t group_bytes() const { return group_bytes_; }

 private:
  // A row of halves, kRowGroup apart.
  void DequantizeHalves(const uint16_t* halves, float* out) const;

  TensorType type_ = TensorType::kF32;
  PackedFormat format_ = PackedFormat::kF32;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  int64_t group_bytes_ = 0;
  uint8_t* data_ = nullptr;
  AlignedBuffer own_memory_;
};

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_PACKED_MATRIX_H_
