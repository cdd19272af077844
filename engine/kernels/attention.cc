#include "engine/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/check.h"
#include "engine/kernels/attention_tile.h"
#include "engine/quant/half.h"

namespace baton {
namespace {

// One vector of K or V into the cache: values at `out`, `stride` elements apart; scales at
// `scales`, `scale_stride` apart.
void StoreVector(const Kernels& kernels, KvType type, const float* x, int size, uint8_t* out,
                 int64_t stride, uint8_t* scales, int64_t scale_stride) {
  if (type == KvType::kF32) {
    float* to = reinterpret_cast<float*>(out);
    for (int i = 0; i < size; ++i) to[i * stride] = x[i];
    return;
  }
  if (type == KvType::kF16) {
    uint16_t* to = reinterpret_cast<uint16_t*>(out);
    if (stride == 1) {
      kernels.to_half(x, size, to);
      return;
    }
    constexpr int kChunk = 64;
    uint16_t halves[kChunk];
    for (int i = 0; i < size; i += kChunk) {
      const int n = std::min(kChunk, size - i);
      kernels.to_half(x + i, n, halves);
      for (int j = 0; j < n; ++j) to[(i + j) * stride] = halves[j];
    }
    return;
  }
  // The same rounding as activations have; the scale is kept as a half.
  static_assert(kKvQuantElements == kActivationBlock);
  CHECK(size % kKvQuantElements == 0);
  for (int block = 0; block < size / kKvQuantElements; ++block) {
    QuantizedBlock quantized;
    kernels.quantize_row(x + block * kKvQuantElements, {&quantized, 1}, 0);
    for (int i = 0; i < kKvQuantElements; ++i) {
      out[(block * kKvQuantElements + i) * stride] = static_cast<uint8_t>(quantized.values[i]);
    }
    reinterpret_cast<uint16_t*>(scales)[block * scale_stride] = FloatToHalf(quantized.scale);
  }
}

}  // namespace

absl::StatusOr<KvType> ParseKvType(absl::string_view name) {
  for (KvType type : {KvType::kF16, KvType::kF32, KvType::kQ8_0}) {
    if (name == KvTypeName(type)) return type;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cache type '", name, "' is unknown: it is f16, f32 or q8_0"));
}

const char* KvTypeName(KvType type) {
  switch (type) {
    case KvType::kF16:
      return "f16";
    case KvType::kF32:
      return "f32";
    case KvType::kQ8_0:
      return "q8_0";
  }
  CHECK(false);
}

void StoreKeyValue(const Kernels& kernels, const KvLayout& layout, uint8_t* layer_block, int slot,
                   const float* key, const float* value) {
  const int64_t element = KvElementBytes(layout.type);
  const int lane = slot % kKeyGroup;
  for (int head = 0; head < layout.head_count; ++head) {
    uint8_t* group =
        layer_block + layout.KeyOffset(head) + slot / kKeyGroup * KeyGroupBytes(layout);
    uint8_t* key_scales = group + int64_t{layout.key_size} * kKeyGroup * element + lane * 2;
    StoreVector(kernels, layout.type, key + int64_t{head} * layout.key_size, layout.key_size,
                group + lane * element, kKeyGroup, key_scales, kKeyGroup);
    if (layout.latent) continue;
    uint8_t* values = layer_block + layout.ValueOffset(head);
    const int scale_count = layout.value_size / kKvQuantElements;
    uint8_t* value_scales =
        values + int64_t{layout.value_size} * kKvBlockTokens * element + slot * scale_count * 2;
    StoreVector(kernels, layout.type, value + int64_t{head} * layout.value_size, layout.value_size,
                values + slot * layout.value_size * element, 1, value_scales, 1);
  }
}

namespace {

// Attention blocks of a piece where a tile is divided among threads: long enough that its partials
// cost little beside its K and V.
constexpr int64_t kPieceBlocks = 8;
// Where there are fewer whole tiles than this per thread, threads would wait for the last one.
constexpr int64_t kTilesPerThread = 4;

int64_t QueriesPerHead(const AttentionShape& shape) {
  const int64_t queries = shape.query_head_count / shape.layout.head_count;
  CHECK(queries * shape.layout.head_count == shape.query_head_count);
  return queries;
}

// The first position that a query at `position` sees.
int64_t FirstSeen(const AttentionShape& shape, int64_t position) {
  return shape.window == 0 ? 0 : std::max<int64_t>(0, position - shape.window + 1);
}

// Tiles of all sequences and heads; those that see most positions first, so that no thread ends
// late.
void ListTiles(const AttentionShape& shape, absl::Span<const AttentionRows> sequences,
               std::vector<AttentionPiece>& tiles) {
  tiles.clear();
  const int64_t queries_per_head = QueriesPerHead(shape);
  for (const AttentionRows& rows : sequences) {
    const int64_t queries = rows.row_count * queries_per_head;
    const int64_t tile_count = (queries + kMaxTileQueries - 1) / kMaxTileQueries;
    for (int64_t tile = tile_count - 1; tile >= 0; --tile) {
      const int64_t first = tile * kMaxTileQueries;
      const int64_t end = std::min<int64_t>(queries, first + kMaxTileQueries);
      const int64_t first_seen = FirstSeen(shape, rows.first_position + first / queries_per_head);
      const int64_t last_seen = rows.first_position + (end - 1) / queries_per_head;
      for (int head = 0; head < shape.layout.head_count; ++head) {
        tiles.push_back({&rows, head, first, static_cast<int>(end - first),
                         first_seen / kAttentionBlock, last_seen / kAttentionBlock + 1, -1});
      }
    }
  }
}

// Divides long tiles; gives the floats that their partials take.
int64_t DivideTiles(const KvLayout& layout, AttentionScratch& scratch) {
  scratch.merges.clear();
  std::swap(scratch.pieces, scratch.merges);
  int64_t floats = 0;
  size_t divided = 0;
  for (const AttentionPiece& tile : scratch.merges) {
    const int64_t blocks = tile.end_block - tile.first_block;
    if (blocks <= kPieceBlocks) {
      scratch.pieces.push_back(tile);
      continue;
    }
    const int64_t block_floats = tile.query_count * AttentionPartialFloats(layout);
    for (int64_t first = 0; first < blocks; first += kPieceBlocks) {
      AttentionPiece piece = tile;
      piece.first_block = tile.first_block + first;
      piece.end_block = std::min(tile.end_block, piece.first_block + kPieceBlocks);
      piece.partials = floats + first * block_floats;
      scratch.pieces.push_back(piece);
    }
    AttentionPiece merge = tile;
    merge.partials = floats;
    floats += blocks * block_floats;
    scratch.merges[divided++] = merge;
  }
  scratch.merges.resize(divided);
  return floats;
}

// Calls `run` on the tile that a piece describes.
template <typename RunTile>
void WithTile(const AttentionShape& shape, const AttentionPiece& piece, float* partials,
              float* scratch, const RunTile& run) {
  const KvLayout& layout = shape.layout;
  const AttentionRows& rows = *piece.rows;
  const int64_t queries_per_head = QueriesPerHead(shape);
  const float* queries[kMaxTileQueries];
  int64_t first_positions[kMaxTileQueries], last_positions[kMaxTileQueries];
  float sinks[kMaxTileQueries];
  float* outs[kMaxTileQueries];
  for (int i = 0; i < piece.query_count; ++i) {
    const int64_t query = piece.first_query + i;
    const int64_t row = query / queries_per_head;
    const int64_t head = piece.kv_head * queries_per_head + query % queries_per_head;
    const int64_t at = row * shape.query_head_count + head;
    queries[i] = rows.query + at * layout.key_size;
    last_positions[i] = rows.first_position + row;
    first_positions[i] = FirstSeen(shape, last_positions[i]);
    if (shape.sinks != nullptr) sinks[i] = shape.sinks[head];
    outs[i] = rows.out + at * layout.value_size;
  }
  AttentionTile tile = {};
  tile.layout = layout;
  tile.kv_head = piece.kv_head;
  tile.blocks = rows.blocks;
  tile.block_offset = shape.block_offset;
  tile.scale = shape.scale;
  tile.soft_cap = shape.soft_cap;
  tile.query_count = piece.query_count;
  tile.queries = queries;
  tile.first_positions = first_positions;
  tile.last_positions = last_positions;
  tile.sinks = shape.sinks == nullptr ? nullptr : sinks;
  tile.first_block = piece.first_block;
  tile.end_block = piece.end_block;
  tile.outs = outs;
  tile.partials = piece.partials < 0 ? nullptr : partials + piece.partials;
  tile.scratch = scratch;
  run(tile);
}

}  // namespace

void Attend(const Kernels& kernels, ThreadPool& pool, const AttentionShape& shape,
            absl::Span<const AttentionRows> sequences, AttentionScratch& scratch) {
  ListTiles(shape, sequences, scratch.pieces);
  scratch.merges.clear();
  int64_t partial_floats = 0;
  if (static_cast<int64_t>(scratch.pieces.size()) < kTilesPerThread * pool.thread_count()) {
    partial_floats = DivideTiles(shape.layout, scratch);
  }
  const int64_t tile_floats = AttentionTileScratchFloats(shape.layout);
  float* const partials = scratch.Reserve(partial_floats + tile_floats * pool.thread_count());
  float* const tiles = partials + partial_floats;
  pool.Run(scratch.pieces.size(), [&](int64_t task, int thread) {
    WithTile(shape, scratch.pieces[task], partials, tiles + thread * tile_floats, kernels.attend);
  });
  if (scratch.merges.empty()) return;
  pool.Run(scratch.merges.size(), [&](int64_t task, int thread) {
    WithTile(shape, scratch.merges[task], partials, tiles + thread * tile_floats,
             kernels.merge_attention);
  });
}

}  // namespace baton
