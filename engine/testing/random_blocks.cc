#include "engine/testing/random_blocks.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <vector>

#include "engine/base/check.h"
#include "engine/quant/blocks.h"
#include "engine/quant/dequantize.h"
#include "engine/quant/half.h"
#include "engine/quant/quantize.h"

namespace baton {
namespace {

enum class ScaleFormat {
  kHalf,
  kScattered,  // the half of IQ1_M
  kE8M0,       // the exponent of MXFP4
  kE4M3,       // four numbers of NVFP4
};

// Where the scale is in a block, and a minimum that centres the weights when the scale is 1.
struct BlockScales {
  TensorType type;
  size_t scale_offset;
  std::optional<size_t> min_offset;
  float centring_min = 0.0f;
  ScaleFormat format = ScaleFormat::kHalf;
};

constexpr BlockScales kBlockScales[] = {
    {TensorType::kQ4_0, offsetof(BlockQ4_0, d), std::nullopt},
    {TensorType::kQ4_1, offsetof(BlockQ4_1, d), offsetof(BlockQ4_1, m), -7.5f},
    {TensorType::kQ5_0, offsetof(BlockQ5_0, d), std::nullopt},
    {TensorType::kQ5_1, offsetof(BlockQ5_1, d), offsetof(BlockQ5_1, m), -15.5f},
    {TensorType::kQ8_0, offsetof(BlockQ8_0, d), std::nullopt},
    {TensorType::kQ2_K, offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin), 1.5f},
    {TensorType::kQ3_K, offsetof(BlockQ3_K, d), std::nullopt},
    {TensorType::kQ4_K, offsetof(BlockQ4_K, d), offsetof(BlockQ4_K, dmin), 7.5f},
    {TensorType::kQ5_K, offsetof(BlockQ5_K, d), offsetof(BlockQ5_K, dmin), 15.5f},
    {TensorType::kQ6_K, offsetof(BlockQ6_K, d), std::nullopt},
    {TensorType::kIQ1_S, offsetof(BlockIQ1_S, d), std::nullopt},
    {TensorType::kIQ1_M, offsetof(BlockIQ1_M, scales), std::nullopt, 0, ScaleFormat::kScattered},
    {TensorType::kIQ2_XXS, offsetof(BlockIQ2_XXS, d), std::nullopt},
    {TensorType::kIQ2_XS, offsetof(BlockIQ2_XS, d), std::nullopt},
    {TensorType::kIQ2_S, offsetof(BlockIQ2_S, d), std::nullopt},
    {TensorType::kIQ3_XXS, offsetof(BlockIQ3_XXS, d), std::nullopt},
    {TensorType::kIQ3_S, offsetof(BlockIQ3_S, d), std::nullopt},
    {TensorType::kIQ4_NL, offsetof(BlockIQ4_NL, d), std::nullopt},
    {TensorType::kIQ4_XS, offsetof(BlockIQ4_XS, d), std::nullopt},
    {TensorType::kTQ1_0, offsetof(BlockTQ1_0, d), std::nullopt},
    {TensorType::kTQ2_0, offsetof(BlockTQ2_0, d), std::nullopt},
    {TensorType::kMXFP4, offsetof(BlockMXFP4, e), std::nullopt, 0, ScaleFormat::kE8M0},
    {TensorType::kNVFP4, offsetof(BlockNVFP4, d), std::nullopt, 0, ScaleFormat::kE4M3},
    {TensorType::kQ1_0, offsetof(BlockQ1_0, d), std::nullopt},
    {TensorType::kQ2_0, offsetof(BlockQ2_0, d), std::nullopt},
};

void StoreU16(uint16_t value, uint8_t* out) {
  out[0] = static_cast<uint8_t>(value);
  out[1] = static_cast<uint8_t>(value >> 8);
}

void StoreU32(uint32_t value, uint8_t* out) {
  StoreU16(static_cast<uint16_t>(value), out);
  StoreU16(static_cast<uint16_t>(value >> 16), out + 2);
}

void FillRandom(uint8_t* out, size_t size, Random* random) {
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const uint64_t bits = random->Next();
    StoreU32(static_cast<uint32_t>(bits), out + i);
    StoreU32(static_cast<uint32_t>(bits >> 32), out + i + 4);
  }
  if (i == size) return;
  for (uint64_t bits = random->Next(); i < size; ++i, bits >>= 8) {
    out[i] = static_cast<uint8_t>(bits);
  }
}

// The unsigned float of four exponent bits (bias 7) and three mantissa bits nearest to a small
// value.
uint8_t FloatToE4M3(float value) {
  int exponent = 0;
  std::frexp(value, &exponent);
  exponent = std::max(exponent - 1, -6);  // below, steps stay as they are
  const long eighths = std::lround(std::ldexp(value, 3 - exponent));
  return static_cast<uint8_t>(std::clamp((exponent + 6L) * 8 + eighths, 1L, 0x7EL));
}

void StoreScale(ScaleFormat format, float scale, uint8_t* out) {
  switch (format) {
    case ScaleFormat::kHalf:
      return StoreU16(FloatToHalf(scale), out);
    case ScaleFormat::kScattered:
      return PackIQ1MScale(FloatToHalf(scale), out);
    case ScaleFormat::kE8M0:
      *out = static_cast<uint8_t>(128 + std::lround(std::log2(std::abs(scale))));
      return;
    case ScaleFormat::kE4M3:
      std::fill_n(out, sizeof(BlockNVFP4::d), FloatToE4M3(2 * std::abs(scale)));
      return;
  }
}

// Weights are linear in the scale and the minimum together, so a block is measured with the scale
// 1 and then scaled to the wanted size.
void FillQuantBlock(const BlockScales& scales, uint32_t bytes, uint32_t elements, float rms,
                    Random* random, uint8_t* out) {
  FillRandom(out, bytes, random);
  StoreScale(scales.format, 1.0f, out + scales.scale_offset);
  if (scales.min_offset) StoreU16(FloatToHalf(scales.centring_min), out + *scales.min_offset);
  float weights[kSuperBlock];
  Dequantize(scales.type, out, elements, weights);
  float sum = 0.0f;
  for (uint32_t i = 0; i < elements; ++i) sum += weights[i] * weights[i];
  const float found = std::sqrt(sum / static_cast<float>(elements));
  // Blocks differ in size, as those of trained models do.
  const float factor = rms * random->Uniform(0.5f, 1.5f) / std::max(found, 1.0f);
  const float sign = random->Below(2) == 0 ? factor : -factor;
  StoreScale(scales.format, sign, out + scales.scale_offset);
  if (scales.min_offset) {
    StoreU16(FloatToHalf(sign * scales.centring_min), out + *scales.min_offset);
  }
}

}  // namespace

void FillRandomBlocks(TensorType type, size_t elements, float rms, Random* random, uint8_t* out) {
  const TypeTraits& traits = TraitsOf(type);
  if (traits.block_elements == 1) {
    const float bound = rms * std::sqrt(3.0f);  // a uniform distribution has this rms
    std::vector<float> weights(elements);
    for (float& weight : weights) weight = random->Uniform(-bound, bound);
    Quantize(type, weights.data(), elements, out);
    return;
  }
  const auto* scales = std::find_if(std::begin(kBlockScales), std::end(kBlockScales),
                                    [type](const BlockScales& s) { return s.type == type; });
  CHECK(scales != std::end(kBlockScales));
  const uint8_t* const end = out + RowBytes(type, elements);
  for (; out != end; out += traits.block_bytes) {
    FillQuantBlock(*scales, traits.block_bytes, traits.block_elements, rms, random, out);
  }
}

}  // namespace baton
