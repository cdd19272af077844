#include "engine/quant/dequantize.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "engine/base/check.h"
#include "engine/quant/blocks.h"
#include "engine/quant/half.h"
#include "engine/quant/integer_block.h"

namespace baton {
namespace {

uint16_t LoadU16(const uint8_t* bytes) { return static_cast<uint16_t>(bytes[0] | bytes[1] << 8); }

uint32_t LoadU32(const uint8_t* bytes) {
  return LoadU16(bytes) | static_cast<uint32_t>(LoadU16(bytes + 2)) << 16;
}

float LoadHalf(const uint8_t* bytes) { return HalfToFloat(LoadU16(bytes)); }

void Expand(const BlockF32& block, float* out) {
  *out = std::bit_cast<float>(LoadU32(block.value));
}

void Expand(const BlockBF16& block, float* out) { *out = BFloat16ToFloat(LoadU16(block.value)); }

void Expand(const BlockQ4_0& block, float* out) {
  const float d = LoadHalf(block.d);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>((block.qs[j] & 15) - 8);
    out[j + 16] = d * static_cast<float>((block.qs[j] >> 4) - 8);
  }
}

void Expand(const BlockQ4_1& block, float* out) {
  const float d = LoadHalf(block.d);
  const float m = LoadHalf(block.m);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(block.qs[j] & 15) + m;
    out[j + 16] = d * static_cast<float>(block.qs[j] >> 4) + m;
  }
}

// The five-bit number of weight i in Q5_0 and Q5_1.
int FiveBits(const uint8_t* qs, uint32_t qh, int i) {
  const int nibble = i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
  return nibble | static_cast<int>((qh >> i) & 1) << 4;
}

void Expand(const BlockQ5_0& block, float* out) {
  const float d = LoadHalf(block.d);
  const uint32_t qh = LoadU32(block.qh);
  for (int i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>(FiveBits(block.qs, qh, i) - 16);
  }
}

void Expand(const BlockQ5_1& block, float* out) {
  const float d = LoadHalf(block.d);
  const float m = LoadHalf(block.m);
  const uint32_t qh = LoadU32(block.qh);
  for (int i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>(FiveBits(block.qs, qh, i)) + m;
  }
}

void Expand(const BlockQ8_0& block, float* out) {
  const float d = LoadHalf(block.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int8_t>(block.qs[i]));
}

// The two low bits of weight i in Q2_K and Q3_K.
int TwoBits(const uint8_t* qs, int i) {
  return (qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
}

void Expand(const BlockQ2_K& block, float* out) {
  const float d = LoadHalf(block.d);
  const float dmin = LoadHalf(block.dmin);
  for (int i = 0; i < 256; ++i) {
    const uint8_t packed = block.scales[i / 16];
    const float scale = d * static_cast<float>(packed & 15);
    const float min = dmin * static_cast<float>(packed >> 4);
    out[i] = scale * static_cast<float>(TwoBits(block.qs, i)) - min;
  }
}

void Expand(const BlockQ3_K& block, float* out) {
  const float d = LoadHalf(block.d);
  int8_t scales[16];
  UnpackQ3KScales(block.scales, scales);
  for (int i = 0; i < 256; ++i) {
    const int high = (block.hmask[i % 32] >> (i / 32)) & 1;
    const float scale = d * static_cast<float>(scales[i / 16]);
    out[i] = scale * static_cast<float>((TwoBits(block.qs, i) | high << 2) - 4);
  }
}

// The four low bits of weight i in Q4_K and Q5_K.
int FourBits(const uint8_t* qs, int i) {
  return (qs[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4)) & 15;
}

void Expand(const BlockQ4_K& block, float* out) {
  const float d = LoadHalf(block.d);
  const float dmin = LoadHalf(block.dmin);
  uint8_t scales[8], mins[8];
  UnpackQ4KScales(block.scales, scales, mins);
  for (int i = 0; i < 256; ++i) {
    const float scale = d * static_cast<float>(scales[i / 32]);
    const float min = dmin * static_cast<float>(mins[i / 32]);
    out[i] = scale * static_cast<float>(FourBits(block.qs, i)) - min;
  }
}

void Expand(const BlockQ5_K& block, float* out) {
  const float d = LoadHalf(block.d);
  const float dmin = LoadHalf(block.dmin);
  uint8_t scales[8], mins[8];
  UnpackQ4KScales(block.scales, scales, mins);
  for (int i = 0; i < 256; ++i) {
    const int high = (block.qh[i % 32] >> (i / 32)) & 1;
    const float scale = d * static_cast<float>(scales[i / 32]);
    const float min = dmin * static_cast<float>(mins[i / 32]);
    out[i] = scale * static_cast<float>(FourBits(block.qs, i) | high << 4) - min;
  }
}

void Expand(const BlockQ6_K& block, float* out) {
  const float d = LoadHalf(block.d);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int run = i % 128 / 32;
    const int low = (block.ql[half * 64 + i % 64] >> (run / 2 * 4)) & 15;
    const int high = (block.qh[half * 32 + i % 32] >> (run * 2)) & 3;
    const float scale = d * static_cast<float>(static_cast<int8_t>(block.scales[i / 16]));
    out[i] = scale * static_cast<float>((low | high << 4) - 32);
  }
}

void Expand(const BlockF64& block, float* out) {
  const uint64_t bits = LoadU32(block.value) | uint64_t{LoadU32(block.value + 4)} << 32;
  *out = static_cast<float>(std::bit_cast<double>(bits));
}

template <typename Block>
void ExpandAll(const uint8_t* blocks, size_t block_count, float* out) {
  const auto* block = reinterpret_cast<const Block*>(blocks);
  for (size_t b = 0; b < block_count; ++b) Expand(block[b], out + b * Block::kElements);
}

// As HalfToFloat, without branches: many at a time. Scaling by a power of two is exact, and makes
// a half's denormals normal.
void ExpandHalves(const uint8_t* blocks, size_t block_count, float* out) {
  for (size_t i = 0; i < block_count; ++i) {
    const uint32_t half = LoadU16(blocks + 2 * i);
    const uint32_t magnitude = (half & 0x7FFF) << 13;
    const uint32_t scaled = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
    const bool is_finite = magnitude < 0x7C00u << 13;
    const uint32_t bits = is_finite ? scaled : magnitude | 0x7F800000;
    out[i] = std::bit_cast<float>(bits | (half & 0x8000) << 16);
  }
}

template <TensorType type>
void ExpandIntegers(const uint8_t* blocks, size_t block_count, float* out) {
  const TypeTraits& traits = TraitsOf(type);
  const float unit = ScaleUnit(type);
  const int run_count = static_cast<int>(traits.block_elements / 32);
  for (size_t b = 0; b < block_count; ++b, blocks += traits.block_bytes) {
    for (int run = 0; run < run_count; ++run, out += 32) {
      const IntegerBlock block = ReadIntegerBlock(type, blocks, run);
      for (int i = 0; i < 32; ++i) {
        const uint16_t bits = block.d[i / 16];
        const float d = type == TensorType::kMXFP4 ? BFloat16ToFloat(bits) : HalfToFloat(bits);
        // In the order of the reference, which the sign of a zero depends on.
        out[i] =
            d * unit * static_cast<float>(block.scale[i / 16]) * static_cast<float>(block.q[i]);
      }
    }
  }
}

enum class FloatFormat {
  kNone,
  kF32,
  kF64,  // where it is to become a float
  kF16,
  kBF16,
  kE8M0,     // the exponent of MXFP4
  kScatter,  // the half of IQ1_M
};

// A floating-point number inside a block.
struct FloatField {
  const char* what = "";
  size_t offset = 0;
  FloatFormat format = FloatFormat::kNone;
};

struct Decoder {
  TensorType type;
  void (*expand)(const uint8_t* blocks, size_t block_count, float* out);
  FloatField fields[2];
};

template <typename Block>
constexpr FloatField ScaleD() {
  return {"scale d", offsetof(Block, d), FloatFormat::kF16};
}
template <typename Block>
constexpr FloatField MinimumM() {
  return {"minimum m", offsetof(Block, m), FloatFormat::kF16};
}
template <typename Block>
constexpr FloatField ScaleDmin() {
  return {"scale dmin", offsetof(Block, dmin), FloatFormat::kF16};
}

constexpr Decoder kDecoders[] = {
    {TensorType::kF32, ExpandAll<BlockF32>, {{"weight", 0, FloatFormat::kF32}}},
    {TensorType::kF16, ExpandHalves, {{"weight", 0, FloatFormat::kF16}}},
    {TensorType::kBF16, ExpandAll<BlockBF16>, {{"weight", 0, FloatFormat::kBF16}}},
    {TensorType::kQ4_0, ExpandAll<BlockQ4_0>, {ScaleD<BlockQ4_0>()}},
    {TensorType::kQ4_1, ExpandAll<BlockQ4_1>, {ScaleD<BlockQ4_1>(), MinimumM<BlockQ4_1>()}},
    {TensorType::kQ5_0, ExpandAll<BlockQ5_0>, {ScaleD<BlockQ5_0>()}},
    {TensorType::kQ5_1, ExpandAll<BlockQ5_1>, {ScaleD<BlockQ5_1>(), MinimumM<BlockQ5_1>()}},
    {TensorType::kQ8_0, ExpandAll<BlockQ8_0>, {ScaleD<BlockQ8_0>()}},
    {TensorType::kQ2_K, ExpandAll<BlockQ2_K>, {ScaleD<BlockQ2_K>(), ScaleDmin<BlockQ2_K>()}},
    {TensorType::kQ3_K, ExpandAll<BlockQ3_K>, {ScaleD<BlockQ3_K>()}},
    {TensorType::kQ4_K, ExpandAll<BlockQ4_K>, {ScaleD<BlockQ4_K>(), ScaleDmin<BlockQ4_K>()}},
    {TensorType::kQ5_K, ExpandAll<BlockQ5_K>, {ScaleD<BlockQ5_K>(), ScaleDmin<BlockQ5_K>()}},
    {TensorType::kQ6_K, ExpandAll<BlockQ6_K>, {ScaleD<BlockQ6_K>()}},
    {TensorType::kF64, ExpandAll<BlockF64>, {{"weight", 0, FloatFormat::kF64}}},
    {TensorType::kIQ1_S, ExpandIntegers<TensorType::kIQ1_S>, {ScaleD<BlockIQ1_S>()}},
    {TensorType::kIQ1_M,
     ExpandIntegers<TensorType::kIQ1_M>,
     {{"scale d", offsetof(BlockIQ1_M, scales), FloatFormat::kScatter}}},
    {TensorType::kIQ2_XXS, ExpandIntegers<TensorType::kIQ2_XXS>, {ScaleD<BlockIQ2_XXS>()}},
    {TensorType::kIQ2_XS, ExpandIntegers<TensorType::kIQ2_XS>, {ScaleD<BlockIQ2_XS>()}},
    {TensorType::kIQ2_S, ExpandIntegers<TensorType::kIQ2_S>, {ScaleD<BlockIQ2_S>()}},
    {TensorType::kIQ3_XXS, ExpandIntegers<TensorType::kIQ3_XXS>, {ScaleD<BlockIQ3_XXS>()}},
    {TensorType::kIQ3_S, ExpandIntegers<TensorType::kIQ3_S>, {ScaleD<BlockIQ3_S>()}},
    {TensorType::kIQ4_NL, ExpandIntegers<TensorType::kIQ4_NL>, {ScaleD<BlockIQ4_NL>()}},
    {TensorType::kIQ4_XS, ExpandIntegers<TensorType::kIQ4_XS>, {ScaleD<BlockIQ4_XS>()}},
    {TensorType::kTQ1_0, ExpandIntegers<TensorType::kTQ1_0>, {ScaleD<BlockTQ1_0>()}},
    {TensorType::kTQ2_0, ExpandIntegers<TensorType::kTQ2_0>, {ScaleD<BlockTQ2_0>()}},
    {TensorType::kQ1_0, ExpandIntegers<TensorType::kQ1_0>, {ScaleD<BlockQ1_0>()}},
    {TensorType::kQ2_0, ExpandIntegers<TensorType::kQ2_0>, {ScaleD<BlockQ2_0>()}},
    {TensorType::kMXFP4,
     ExpandIntegers<TensorType::kMXFP4>,
     {{"scale e", offsetof(BlockMXFP4, e), FloatFormat::kE8M0}}},
    // No bit pattern of an NVFP4 block is anything but a number.
    {TensorType::kNVFP4, ExpandIntegers<TensorType::kNVFP4>, {}},
};

const Decoder& DecoderOf(TensorType type) {
  for (const Decoder& decoder : kDecoders) {
    if (decoder.type == type) return decoder;
  }
  CHECK(false);
}

size_t CountBlocks(const TypeTraits& traits, size_t elements) {
  CHECK(elements % traits.block_elements == 0);
  return elements / traits.block_elements;
}

// Weights of MXFP4 are up to six times 2^(e - 127): beyond this exponent they overflow.
constexpr uint8_t kMostE8M0 = 252;

template <FloatFormat format>
float LoadFloat(const uint8_t* bytes) {
  if constexpr (format == FloatFormat::kF32) return std::bit_cast<float>(LoadU32(bytes));
  if constexpr (format == FloatFormat::kF64) {
    float value;
    Expand(*reinterpret_cast<const BlockF64*>(bytes), &value);
    return value;
  }
  if constexpr (format == FloatFormat::kF16) return LoadHalf(bytes);
  if constexpr (format == FloatFormat::kBF16) return BFloat16ToFloat(LoadU16(bytes));
  if constexpr (format == FloatFormat::kE8M0) {
    // 255 is no number; what it says of the others is whether they serve.
    if (*bytes == 255) return std::nanf("");
    return *bytes > kMostE8M0 ? INFINITY : 1.0f;
  }
  if constexpr (format == FloatFormat::kScatter) return HalfToFloat(UnpackIQ1MScale(bytes));
}

// The integer that holds a number of this format, and the bits of its exponent: the number is
// finite unless all of them are set.
template <FloatFormat format>
struct FloatBits {
  using Type = uint16_t;
  using Vector = uint16_t __attribute__((vector_size(16)));
  static constexpr Type kExponent = format == FloatFormat::kF16 ? 0x7C00 : 0x7F80;
};
template <>
struct FloatBits<FloatFormat::kF32> {
  using Type = uint32_t;
  using Vector = uint32_t __attribute__((vector_size(16)));
  static constexpr Type kExponent = 0x7F800000;
};

template <FloatFormat format>
constexpr bool HasFloatBits() {
  return format == FloatFormat::kF32 || format == FloatFormat::kF16 || format == FloatFormat::kBF16;
}

template <FloatFormat format>
bool IsFinite(const uint8_t* bytes) {
  using Bits = FloatBits<format>;
  if constexpr (!HasFloatBits<format>()) {
    return std::isfinite(LoadFloat<format>(bytes));
  } else if constexpr (format == FloatFormat::kF32) {
    return (LoadU32(bytes) & Bits::kExponent) != Bits::kExponent;
  } else {
    return (LoadU16(bytes) & Bits::kExponent) != Bits::kExponent;
  }
}

// Numbers checked at once: a loop of fixed length without an exit.
constexpr size_t kRun = 256;

// Whether kRun numbers, one right after the other, are finite. Whole models are scanned with it.
template <FloatFormat format>
bool IsFiniteRun(const uint8_t* bytes) {
  static_assert(std::endian::native == std::endian::little);
  using Bits = FloatBits<format>;
  using Numbers = typename Bits::Vector;
  using Words = uint64_t __attribute__((vector_size(16)));
  Words bad = {};
  for (size_t at = 0; at < kRun * sizeof(typename Bits::Type); at += sizeof(Numbers)) {
    Numbers numbers;
    std::memcpy(&numbers, bytes + at, sizeof(numbers));
    bad |= std::bit_cast<Words>((numbers & Bits::kExponent) == Bits::kExponent);
  }
  return (bad[0] | bad[1]) == 0;
}

// Index of the first block whose number at `offset` is not finite; block_count if there is none.
template <FloatFormat format>
size_t FirstNonFinite(const uint8_t* blocks, size_t block_count, size_t block_bytes,
                      size_t offset) {
  size_t b = 0;
  if constexpr (HasFloatBits<format>()) {
    if (block_bytes == sizeof(typename FloatBits<format>::Type)) {
      while (b + kRun <= block_count && IsFiniteRun<format>(blocks + b * block_bytes)) b += kRun;
    }
  }
  while (b < block_count && IsFinite<format>(blocks + b * block_bytes + offset)) ++b;
  return b;
}

const char* Describe(float value) {
  if (std::isnan(value)) return " is nan";
  return value > 0 ? " is inf" : " is -inf";
}

template <FloatFormat format>
std::optional<NonFinite> FindInField(const FloatField& field, const uint8_t* blocks,
                                     size_t block_count, size_t block_bytes) {
  const size_t block = FirstNonFinite<format>(blocks, block_count, block_bytes, field.offset);
  if (block == block_count) return std::nullopt;
  const size_t byte = block * block_bytes + field.offset;
  return NonFinite{block, byte,
                   std::string(field.what) + Describe(LoadFloat<format>(blocks + byte))};
}

std::optional<NonFinite> FindInField(const FloatField& field, const uint8_t* blocks,
                                     size_t block_count, size_t block_bytes) {
  switch (field.format) {
    case FloatFormat::kNone:
      return std::nullopt;
    case FloatFormat::kF32:
      return FindInField<FloatFormat::kF32>(field, blocks, block_count, block_bytes);
    case FloatFormat::kF64:
      return FindInField<FloatFormat::kF64>(field, blocks, block_count, block_bytes);
    case FloatFormat::kF16:
      return FindInField<FloatFormat::kF16>(field, blocks, block_count, block_bytes);
    case FloatFormat::kBF16:
      return FindInField<FloatFormat::kBF16>(field, blocks, block_count, block_bytes);
    case FloatFormat::kE8M0:
      return FindInField<FloatFormat::kE8M0>(field, blocks, block_count, block_bytes);
    case FloatFormat::kScatter:
      return FindInField<FloatFormat::kScatter>(field, blocks, block_count, block_bytes);
  }
  return std::nullopt;
}

}  // namespace

void Dequantize(TensorType type, const uint8_t* blocks, size_t elements, float* out) {
  DecoderOf(type).expand(blocks, CountBlocks(TraitsOf(type), elements), out);
}

size_t HalfScaleBytes(TensorType type) {
  const TypeTraits& traits = TraitsOf(type);
  size_t bytes = 0;
  if (!traits.is_weight || traits.block_elements == 1) return bytes;
  for (const FloatField& field : DecoderOf(type).fields) {
    if (field.format == FloatFormat::kF16) bytes += sizeof(uint16_t);
  }
  return bytes;
}

std::optional<NonFinite> FindNonFinite(TensorType type, const uint8_t* blocks, size_t elements) {
  const TypeTraits& traits = TraitsOf(type);
  size_t block_count = CountBlocks(traits, elements);
  std::optional<NonFinite> first;
  for (const FloatField& field : DecoderOf(type).fields) {
    const std::optional<NonFinite> found =
        FindInField(field, blocks, block_count, traits.block_bytes);
    if (!found) continue;
    // Only an earlier block can beat this one: fields are listed in the order of their bytes.
    block_count = found->block;
    first = found;
  }
  return first;
}

}  // namespace baton
