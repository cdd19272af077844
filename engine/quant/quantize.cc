#include "engine/quant/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/base/check.h"
#include "engine/quant/blocks.h"
#include "engine/quant/half.h"
#include "engine/quant/lane_sum.h"
#include "engine/quant/scale_search.h"

namespace baton {
namespace {

constexpr float kLargestHalf = 65504.0f;

void StoreU16(uint16_t value, uint8_t* out) {
  out[0] = static_cast<uint8_t>(value);
  out[1] = static_cast<uint8_t>(value >> 8);
}

void StoreU32(uint32_t value, uint8_t* out) {
  StoreU16(static_cast<uint16_t>(value), out);
  StoreU16(static_cast<uint16_t>(value >> 16), out + 2);
}

// Returns what a reader will find: levels are chosen for that.
float StoreHalf(float value, uint8_t* out) {
  const uint16_t half = FloatToHalf(std::clamp(value, -kLargestHalf, kLargestHalf));
  StoreU16(half, out);
  return HalfToFloat(half);
}

float ThroughHalf(float value) {
  uint8_t unused[2];
  return StoreHalf(value, unused);
}

void Compress(const float* weights, BlockF32& block) {
  StoreU32(std::bit_cast<uint32_t>(*weights), block.value);
}

void Compress(const float* weights, BlockF64& block) {
  const uint64_t bits = std::bit_cast<uint64_t>(double{*weights});
  for (int i = 0; i < 8; ++i) block.value[i] = static_cast<uint8_t>(bits >> (8 * i));
}

void Compress(const float* weights, BlockF16& block) {
  StoreU16(FloatToHalf(*weights), block.value);
}

void Compress(const float* weights, BlockBF16& block) {
  StoreU16(FloatToBFloat16(*weights), block.value);
}

// --- blocks of 32

constexpr int kBlock = 32;

// Nibbles of 16 bytes: weight i low, weight 16 + i high.
void StoreNibbles(const int* numbers, uint8_t* qs) {
  for (int i = 0; i < 16; ++i) {
    qs[i] = static_cast<uint8_t>((numbers[i] & 15) | (numbers[i + 16] & 15) << 4);
  }
}

void StoreFifthBits(const int* numbers, uint8_t* qh) {
  uint32_t bits = 0;
  for (int i = 0; i < kBlock; ++i) bits |= static_cast<uint32_t>(numbers[i] >> 4 & 1) << i;
  StoreU32(bits, qh);
}

// The block's scale `d`, and the numbers from 0 that stand for levels from `range.least`.
template <typename Block>
void CompressSymmetric(const float* weights, LevelRange range, Block& block, int* numbers) {
  const float d = StoreHalf(FindScale(weights, kBlock, range), block.d);
  float levels[kBlock];
  RoundToLevels(weights, kBlock, {d, 0.0f}, range, levels);
  for (int i = 0; i < kBlock; ++i) numbers[i] = static_cast<int>(levels[i] - range.least);
}

// The block's `d` and `m`, and the numbers.
template <typename Block>
void CompressWithMin(const float* weights, float most, Block& block, int* numbers) {
  const ScaleAndMin found = FindScaleAndMin(weights, kBlock, most, /*min_above_zero=*/true);
  const ScaleAndMin stored = {StoreHalf(found.scale, block.d), StoreHalf(found.min, block.m)};
  float levels[kBlock];
  RoundToLevels(weights, kBlock, stored, {0.0f, most}, levels);
  for (int i = 0; i < kBlock; ++i) numbers[i] = static_cast<int>(levels[i]);
}

void Compress(const float* weights, BlockQ4_0& block) {
  int numbers[kBlock];
  CompressSymmetric(weights, {-8.0f, 7.0f}, block, numbers);
  StoreNibbles(numbers, block.qs);
}

void Compress(const float* weights, BlockQ4_1& block) {
  int numbers[kBlock];
  CompressWithMin(weights, 15.0f, block, numbers);
  StoreNibbles(numbers, block.qs);
}

void Compress(const float* weights, BlockQ5_0& block) {
  int numbers[kBlock];
  CompressSymmetric(weights, {-16.0f, 15.0f}, block, numbers);
  StoreNibbles(numbers, block.qs);
  StoreFifthBits(numbers, block.qh);
}

void Compress(const float* weights, BlockQ5_1& block) {
  int numbers[kBlock];
  CompressWithMin(weights, 31.0f, block, numbers);
  StoreNibbles(numbers, block.qs);
  StoreFifthBits(numbers, block.qh);
}

// No search: with 255 levels it would gain less than the rounding of d. The largest weight falls
// on +-127, so that blocks which were dequantized come back as they were.
void Compress(const float* weights, BlockQ8_0& block) {
  constexpr LevelRange kRange = {-127.0f, 127.0f};
  float largest = 0.0f;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::abs(weights[i]));
  const float d = StoreHalf(largest / kRange.most, block.d);
  float levels[kBlock];
  RoundToLevels(weights, kBlock, {d, 0.0f}, kRange, levels);
  for (int i = 0; i < kBlock; ++i) {
    block.qs[i] = static_cast<uint8_t>(static_cast<int8_t>(levels[i]));
  }
}

// --- the K types: groups with whole-numbered scales of their own, under a common one

// Rounds of refitting the common scales to the levels found so far.
constexpr int kRefitRounds = 3;

// Q4_K and Q5_K: weight ~ d * scales[g] * level - dmin * mins[g], group g = i / 32.
struct GroupsWithMin {
  static constexpr int kCount = 8;
  static constexpr int kSize = kSuperBlock / kCount;
  static constexpr float kMostScale = 63.0f;  // and minimum: six bits
  float d = 0.0f;
  float dmin = 0.0f;
  float scales[kCount];
  float mins[kCount];
  float levels[kSuperBlock];
  float error = 0.0f;
};

float NearestScale(float value, float unit, float least, float most) {
  return unit == 0.0f ? 0.0f : std::clamp(std::nearbyintf(value / unit), least, most);
}

// The best whole scale and minimum of group g for the block's d and dmin: those nearest to `wanted`
// or one of their neighbours, whichever leaves the least error.
void ChooseGroup(const float* weights, int g, ScaleAndMin wanted, LevelRange range,
                 GroupsWithMin& groups) {
  constexpr int kSize = GroupsWithMin::kSize;
  constexpr float kMost = GroupsWithMin::kMostScale;
  const float scale = NearestScale(wanted.scale, groups.d, 0.0f, kMost);
  const float min = NearestScale(-wanted.min, groups.dmin, 0.0f, kMost);
  float least_error = std::numeric_limits<float>::infinity();
  for (float s = std::max(scale - 1.0f, 0.0f); s <= std::min(scale + 1.0f, kMost); s += 1.0f) {
    for (float m = std::max(min - 1.0f, 0.0f); m <= std::min(min + 1.0f, kMost); m += 1.0f) {
      float levels[kSize];
      const float error =
          RoundToLevels(weights, kSize, {groups.d * s, -(groups.dmin * m)}, range, levels);
      if (!(error < least_error)) continue;
      least_error = error;
      groups.scales[g] = s;
      groups.mins[g] = m;
      std::copy(levels, levels + kSize, groups.levels + g * kSize);
    }
  }
  groups.error += least_error;
}

GroupsWithMin ChooseGroups(const float* weights, const ScaleAndMin* wanted, float d, float dmin,
                           LevelRange range) {
  GroupsWithMin groups;
  groups.d = ThroughHalf(d);
  groups.dmin = ThroughHalf(dmin);
  for (int g = 0; g < GroupsWithMin::kCount; ++g) {
    ChooseGroup(weights + g * GroupsWithMin::kSize, g, wanted[g], range, groups);
  }
  return groups;
}

// The d and dmin with the least squared error for the scales, minimums and levels as they are.
ScaleAndMin RefitCommonScales(const float* weights, const GroupsWithMin& groups) {
  float scaled[kSuperBlock];
  float mins[kSuperBlock];
  for (int i = 0; i < static_cast<int>(kSuperBlock); ++i) {
    const int g = i / GroupsWithMin::kSize;
    scaled[i] = groups.scales[g] * groups.levels[i];
    mins[i] = groups.mins[g];
  }
  const auto sum = [&](const float* a, const float* b) {
    return LaneSum(kSuperBlock, [&](int i) { return a[i] * b[i]; });
  };
  const float ss = sum(scaled, scaled), sm = sum(scaled, mins), mm = sum(mins, mins);
  const float sw = sum(scaled, weights), mw = sum(mins, weights);
  const float determinant = ss * mm - sm * sm;
  if (!(determinant > 0.0f)) return {ss > 0.0f ? sw / ss : groups.d, groups.dmin};
  return {(sw * mm - sm * mw) / determinant, (sm * sw - ss * mw) / determinant};
}

GroupsWithMin FindGroupsWithMin(const float* weights, float most) {
  const LevelRange range = {0.0f, most};
  ScaleAndMin wanted[GroupsWithMin::kCount];
  float most_scale = 0.0f;
  float most_min = 0.0f;
  for (int g = 0; g < GroupsWithMin::kCount; ++g) {
    wanted[g] = FindScaleAndMin(weights + g * GroupsWithMin::kSize, GroupsWithMin::kSize, most,
                                /*min_above_zero=*/false);
    most_scale = std::max(most_scale, wanted[g].scale);
    most_min = std::max(most_min, -wanted[g].min);
  }
  GroupsWithMin best = ChooseGroups(weights, wanted, most_scale / GroupsWithMin::kMostScale,
                                    most_min / GroupsWithMin::kMostScale, range);
  for (int i = 0; i < kRefitRounds; ++i) {
    const ScaleAndMin common = RefitCommonScales(weights, best);
    if (common.scale < 0.0f || common.min < 0.0f) break;
    const GroupsWithMin next = ChooseGroups(weights, wanted, common.scale, common.min, range);
    if (!(next.error < best.error)) break;
    best = next;
  }
  return best;
}

template <typename Block>
void StoreGroups(const GroupsWithMin& groups, Block& block) {
  StoreHalf(groups.d, block.d);
  StoreHalf(groups.dmin, block.dmin);
  uint8_t scales[GroupsWithMin::kCount];
  uint8_t mins[GroupsWithMin::kCount];
  for (int g = 0; g < GroupsWithMin::kCount; ++g) {
    scales[g] = static_cast<uint8_t>(groups.scales[g]);
    mins[g] = static_cast<uint8_t>(groups.mins[g]);
  }
  PackQ4KScales(scales, mins, block.scales);
  for (int run = 0; run < 4; ++run) {
    for (int i = 0; i < 32; ++i) {
      const int low = static_cast<int>(groups.levels[run * 64 + i]);
      const int high = static_cast<int>(groups.levels[run * 64 + 32 + i]);
      block.qs[run * 32 + i] = static_cast<uint8_t>((low & 15) | (high & 15) << 4);
    }
  }
}

void Compress(const float* weights, BlockQ4_K& block) {
  StoreGroups(FindGroupsWithMin(weights, 15.0f), block);
}

void Compress(const float* weights, BlockQ5_K& block) {
  const GroupsWithMin groups = FindGroupsWithMin(weights, 31.0f);
  StoreGroups(groups, block);
  std::fill(std::begin(block.qh), std::end(block.qh), uint8_t{0});
  for (int i = 0; i < static_cast<int>(kSuperBlock); ++i) {
    const int fifth = static_cast<int>(groups.levels[i]) >> 4;
    block.qh[i % 32] = static_cast<uint8_t>(block.qh[i % 32] | fifth << (i / 32));
  }
}

// Q6_K: weight ~ d * scales[g] * level, group g = i / 16.
struct SignedGroups {
  static constexpr int kCount = 16;
  static constexpr int kSize = kSuperBlock / kCount;
  static constexpr LevelRange kLevels = {-32.0f, 31.0f};
  static constexpr LevelRange kScales = {-128.0f, 127.0f};
  float d = 0.0f;
  float scales[kCount];
  float levels[kSuperBlock];
  float error = 0.0f;
};

SignedGroups ChooseSignedGroups(const float* weights, const float* wanted, float d) {
  SignedGroups groups;
  groups.d = ThroughHalf(d);
  for (int g = 0; g < SignedGroups::kCount; ++g) {
    const int at = g * SignedGroups::kSize;
    groups.scales[g] =
        NearestScale(wanted[g], groups.d, SignedGroups::kScales.least, SignedGroups::kScales.most);
    groups.error +=
        RoundToLevels(weights + at, SignedGroups::kSize, {groups.d * groups.scales[g], 0.0f},
                      SignedGroups::kLevels, groups.levels + at);
  }
  return groups;
}

// As RefitCommonScales; 0 when there is nothing to fit.
float RefitCommonScale(const float* weights, const SignedGroups& groups) {
  float scaled[kSuperBlock];
  for (int i = 0; i < static_cast<int>(kSuperBlock); ++i) {
    scaled[i] = groups.scales[i / SignedGroups::kSize] * groups.levels[i];
  }
  const float squares = LaneSum(kSuperBlock, [&](int i) { return scaled[i] * scaled[i]; });
  if (squares == 0.0f) return 0.0f;
  return LaneSum(kSuperBlock, [&](int i) { return scaled[i] * weights[i]; }) / squares;
}

SignedGroups FindSignedGroups(const float* weights) {
  float wanted[SignedGroups::kCount];
  float largest = 0.0f;
  for (int g = 0; g < SignedGroups::kCount; ++g) {
    wanted[g] =
        FindScale(weights + g * SignedGroups::kSize, SignedGroups::kSize, SignedGroups::kLevels);
    if (std::abs(wanted[g]) > std::abs(largest)) largest = wanted[g];
  }
  SignedGroups best = ChooseSignedGroups(weights, wanted, largest / SignedGroups::kScales.least);
  for (int i = 0; i < kRefitRounds; ++i) {
    const SignedGroups next = ChooseSignedGroups(weights, wanted, RefitCommonScale(weights, best));
    if (!(next.error < best.error)) break;
    best = next;
  }
  return best;
}

void Compress(const float* weights, BlockQ6_K& block) {
  const SignedGroups groups = FindSignedGroups(weights);
  StoreHalf(groups.d, block.d);
  for (int g = 0; g < SignedGroups::kCount; ++g) {
    block.scales[g] = static_cast<uint8_t>(static_cast<int8_t>(groups.scales[g]));
  }
  const auto number = [&](int i) {
    return static_cast<int>(groups.levels[i] - SignedGroups::kLevels.least);
  };
  for (int half = 0; half < 2; ++half) {
    const int first = half * 128;
    for (int i = 0; i < 64; ++i) {
      const int low = number(first + i) & 15;
      const int high = number(first + 64 + i) & 15;
      block.ql[half * 64 + i] = static_cast<uint8_t>(low | high << 4);
    }
    for (int i = 0; i < 32; ++i) {
      int bits = 0;
      for (int run = 0; run < 4; ++run) bits |= number(first + run * 32 + i) >> 4 << (run * 2);
      block.qh[half * 32 + i] = static_cast<uint8_t>(bits);
    }
  }
}

template <typename Block>
void CompressAll(const float* weights, size_t block_count, uint8_t* blocks) {
  auto* block = reinterpret_cast<Block*>(blocks);
  for (size_t b = 0; b < block_count; ++b) Compress(weights + b * Block::kElements, block[b]);
}

struct Encoder {
  TensorType type;
  void (*compress)(const float* weights, size_t block_count, uint8_t* blocks);
};

constexpr Encoder kEncoders[] = {
    {TensorType::kF32, CompressAll<BlockF32>},   {TensorType::kF64, CompressAll<BlockF64>},
    {TensorType::kF16, CompressAll<BlockF16>},   {TensorType::kBF16, CompressAll<BlockBF16>},
    {TensorType::kQ4_0, CompressAll<BlockQ4_0>}, {TensorType::kQ4_1, CompressAll<BlockQ4_1>},
    {TensorType::kQ5_0, CompressAll<BlockQ5_0>}, {TensorType::kQ5_1, CompressAll<BlockQ5_1>},
    {TensorType::kQ8_0, CompressAll<BlockQ8_0>}, {TensorType::kQ4_K, CompressAll<BlockQ4_K>},
    {TensorType::kQ5_K, CompressAll<BlockQ5_K>}, {TensorType::kQ6_K, CompressAll<BlockQ6_K>},
};

float LargestWeight(TensorType type) {
  if (type == TensorType::kF32 || type == TensorType::kF64)
    return std::numeric_limits<float>::max();
  if (type == TensorType::kBF16) return 0x1.FEp127f;
  return kLargestHalf;
}

const Encoder* FindEncoder(TensorType type) {
  for (const Encoder& encoder : kEncoders) {
    if (encoder.type == type) return &encoder;
  }
  return nullptr;
}

}  // namespace

bool CanQuantize(TensorType type) { return FindEncoder(type) != nullptr; }

std::optional<size_t> FindUnquantizable(TensorType type, const float* weights, size_t elements) {
  const float most = LargestWeight(type);
  for (size_t i = 0; i < elements; ++i) {
    if (!(std::abs(weights[i]) <= most)) return i;
  }
  return std::nullopt;
}

void Quantize(TensorType type, const float* weights, size_t elements, uint8_t* blocks) {
  const Encoder* encoder = FindEncoder(type);
  CHECK(encoder != nullptr);
  const uint32_t block_elements = TraitsOf(type).block_elements;
  CHECK(elements % block_elements == 0);
  encoder->compress(weights, elements / block_elements, blocks);
}

}  // namespace baton
