#include "engine/kernels/packed_matrix.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/kernels/pack_group.h"
#include "engine/kernels/packed_block.h"
#include "engine/kernels/packed_layout.h"
#include "engine/quant/dequantize.h"

namespace baton {
namespace {

PackedFormat FormatFor(TensorType type, ActivationMode mode) {
  const PackedFormat format = PackedFormatOf(type);
  return IsFloatFormat(format) || mode == ActivationMode::kInt8 ? format : PackedFormat::kF32;
}

}  // namespace

absl::StatusOr<PackedMatrix> PackedMatrix::Create(TensorType type, int64_t rows, int64_t columns,
                                                  ActivationMode mode, Arena* arena) {
  CHECK(rows > 0 && columns > 0 && columns % TraitsOf(type).block_elements == 0);
  PackedMatrix matrix;
  matrix.type_ = type;
  matrix.format_ = FormatFor(type, mode);
  matrix.rows_ = rows;
  matrix.columns_ = columns;
  matrix.group_bytes_ =
      columns / PackedUnitColumns(matrix.format_) * PackedUnitBytes(matrix.format_);
  const int64_t bytes = matrix.group_bytes_ * matrix.group_count();
  if (arena == nullptr) {
    matrix.own_memory_ = AlignedBuffer(bytes);
    matrix.data_ = matrix.own_memory_.data();
  } else {
    matrix.data_ = arena->Take(bytes);
  }
  if (matrix.data_ == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", bytes, " bytes of weights (", rows, " x ", columns, ")"));
  }
  return matrix;
}

void PackedMatrix::PackRows(int64_t first_row, int64_t count, const uint8_t* file_rows) {
  CHECK(first_row % kRowGroup == 0 && first_row + count <= rows_);
  CHECK(count % kRowGroup == 0 || first_row + count == rows_);
  const int64_t file_group_bytes = kRowGroup * RowBytes(type_, columns_);
  for (int64_t row = 0; row < count; row += kRowGroup, file_rows += file_group_bytes) {
    uint8_t* group = data_ + (first_row + row) / kRowGroup * group_bytes_;
    if (count - row >= kRowGroup) {
      PackGroup(type_, format_, file_rows, columns_, group);
    } else {
      PackGroupSlowly(type_, format_, file_rows, columns_, static_cast<int>(count - row), group);
    }
  }
}

void PackedMatrix::DequantizeRow(int64_t row, float* out) const {
  CHECK(row >= 0 && row < rows_);
  const uint8_t* bytes = group(row / kRowGroup);
  const int lane = static_cast<int>(row % kRowGroup);
  if (format_ == PackedFormat::kF32) {
    const float* floats = reinterpret_cast<const float*>(bytes) + lane;
    for (int64_t i = 0; i < columns_; ++i) out[i] = floats[i * kRowGroup];
  } else if (IsFloatFormat(format_)) {
    DequantizeHalves(reinterpret_cast<const uint16_t*>(bytes) + lane, out);
  } else {
    for (int64_t i = 0; i < columns_; i += kStripColumns) {
      DequantizePackedBlock(format_, ReadPackedBlock(format_, bytes, i / kStripColumns, lane),
                            out + i);
    }
  }
}

PackedMatrix PackedMatrix::FirstRows(int64_t rows) const {
  CHECK(rows <= rows_);
  PackedMatrix first;
  first.type_ = type_;
  first.format_ = format_;
  first.rows_ = rows;
  first.columns_ = columns_;
  first.group_bytes_ = group_bytes_;
  first.data_ = data_;
  return first;
}

void PackedMatrix::DequantizeHalves(const uint16_t* halves, float* out) const {
  constexpr int64_t kRun = 256;
  uint16_t run[kRun];
  for (int64_t first = 0; first < columns_; first += kRun) {
    const int64_t count = std::min(kRun, columns_ - first);
    for (int64_t i = 0; i < count; ++i) run[i] = halves[(first + i) * kRowGroup];
    Dequantize(type_, reinterpret_cast<const uint8_t*>(run), count, out + first);
  }
}

}  // namespace baton
