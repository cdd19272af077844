#include "engine/kernels/matmul.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/base/check.h"
#include "engine/kernels/packed_block.h"

namespace baton {
namespace {

// A piece of work for one thread: large enough that taking it costs nothing beside it, small enough
// that two threads end together.
constexpr int64_t kTaskWeightBytes = 32 << 10;
// Rows of x that are walked for one piece of weights: what stays in a level-2 cache beside them.
constexpr int64_t kRowBlockBytes = 192 << 10;
// A multiple of every column tile of the kernels, so that only the last block has a remainder.
constexpr int64_t kRowBlockMultiple = 12;
// Products in one run of the pool: more would hardly gain anything.
constexpr size_t kMaxTargets = 64;

}  // namespace

void MatMulInput::Set(const Kernels& kernels, ThreadPool& pool, const float* x, int64_t rows,
                      int64_t columns, bool quantize) {
  x_ = x;
  rows_ = rows;
  columns_ = columns;
  quantized_ = {};
  if (!quantize) return;
  CHECK(columns % kActivationBlock == 0);
  const int64_t blocks_per_row = columns / kActivationBlock;
  const size_t bytes = rows * blocks_per_row * sizeof(QuantizedBlock);
  if (memory_.size() < bytes) memory_ = AlignedBuffer(bytes);
  CHECK(memory_.data() != nullptr);
  quantized_ = {memory_.as<QuantizedBlock>(), blocks_per_row};
  // Rounding one row is far less than a task should be.
  constexpr int64_t kRowsPerTask = 8;
  pool.Run((rows + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task, int) {
    const int64_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) {
      kernels.quantize_row(x + row * columns, quantized_, row);
    }
  });
}

bool NeedsQuantizedInput(const PackedMatrix& matrix) { return !IsFloatFormat(matrix.format()); }

void MatMul(const Kernels& kernels, ThreadPool& pool, const PackedMatrix& w, const MatMulInput& x,
            float* out, int64_t out_stride) {
  const MatMulTarget target = {&w, out, out_stride, 0, x.rows()};
  MatMul(kernels, pool, absl::MakeConstSpan(&target, 1), x);
}

void MatMul(const Kernels& kernels, ThreadPool& pool, absl::Span<const MatMulTarget> targets,
            const MatMulInput& x) {
  if (targets.size() > kMaxTargets) {
    MatMul(kernels, pool, targets.subspan(0, kMaxTargets), x);
    return MatMul(kernels, pool, targets.subspan(kMaxTargets), x);
  }
  const int64_t row_bytes = x.columns() * (x.quantized().blocks != nullptr ? 1 : 4);
  const int64_t row_block = std::max(
      kRowBlockMultiple, kRowBlockBytes / row_bytes / kRowBlockMultiple * kRowBlockMultiple);
  // Pieces of each matrix, one after the other, each for all its row blocks.
  struct Pieces {
    int64_t end_task;
    int64_t groups;  // in a piece
    int64_t row_blocks;
  };
  std::array<Pieces, kMaxTargets> pieces;
  int64_t task_count = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    const MatMulTarget& target = targets[i];
    const PackedMatrix& w = *target.w;
    CHECK(w.columns() == x.columns() && target.stride >= w.rows());
    CHECK(target.first_row >= 0 && target.first_row + target.row_count <= x.rows());
    CHECK(!NeedsQuantizedInput(w) || x.quantized().blocks != nullptr);
    Pieces& mine = pieces[i];
    mine.groups = std::max<int64_t>(2, kTaskWeightBytes / w.group_bytes() / 2 * 2);
    mine.row_blocks = (target.row_count + row_block - 1) / row_block;
    task_count += (w.group_count() + mine.groups - 1) / mine.groups * mine.row_blocks;
    mine.end_task = task_count;
  }
  pool.Run(task_count, [&](int64_t task, int) {
    const auto is_before = [](int64_t t, const Pieces& p) { return t < p.end_task; };
    const auto mine =
        std::upper_bound(pieces.begin(), pieces.begin() + targets.size(), task, is_before);
    const size_t i = mine - pieces.begin();
    const PackedMatrix& w = *targets[i].w;
    const int64_t local = task - (i == 0 ? 0 : pieces[i - 1].end_task);
    const int64_t first_group = local / mine->row_blocks * mine->groups;
    const int64_t group_count = std::min(mine->groups, w.group_count() - first_group);
    const int64_t first_row = local % mine->row_blocks * row_block;
    const MatMulRows rows = {x.floats(), &x.quantized(), x.columns(),
                             targets[i].first_row + first_row,
                             std::min(row_block, targets[i].row_count - first_row)};
    float* out = targets[i].out + first_row * targets[i].stride + first_group * kRowGroup;
    const MatMulFunction multiply = kernels.matmul[static_cast<int>(w.format())];
    const int64_t ragged = w.rows() % kRowGroup;
    const bool has_ragged = ragged != 0 && first_group + group_count == w.group_count();
    const int64_t whole = group_count - (has_ragged ? 1 : 0);
    if (whole > 0) {
      multiply(w.group(first_group), w.group_bytes(), whole, rows, out, targets[i].stride);
    }
    if (!has_ragged) return;
    // The last group has fewer rows than lanes: its lanes go through a buffer, row by row of x.
    for (int64_t r = 0; r < rows.count; ++r) {
      float lanes[kRowGroup];
      MatMulRows one = rows;
      one.first += r;
      one.count = 1;
      multiply(w.group(first_group + whole), w.group_bytes(), 1, one, lanes, kRowGroup);
      std::memcpy(out + r * targets[i].stride + whole * kRowGroup, lanes, ragged * sizeof(float));
    }
  });
}

}  // namespace baton
