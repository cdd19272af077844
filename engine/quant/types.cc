#include "engine/quant/types.h"

#include "engine/base/check.h"
#include "engine/quant/blocks.h"

namespace baton {
namespace {

template <typename Block>
constexpr TypeTraits Traits(TensorType type, const char* name) {
  return {type, name, Block::kElements, sizeof(Block), /*is_weight=*/true};
}

constexpr TypeTraits kTraits[] = {
    Traits<BlockF32>(TensorType::kF32, "F32"),    Traits<BlockF16>(TensorType::kF16, "F16"),
    Traits<BlockQ4_0>(TensorType::kQ4_0, "Q4_0"), Traits<BlockQ4_1>(TensorType::kQ4_1, "Q4_1"),
    Traits<BlockQ5_0>(TensorType::kQ5_0, "Q5_0"), Traits<BlockQ5_1>(TensorType::kQ5_1, "Q5_1"),
    Traits<BlockQ8_0>(TensorType::kQ8_0, "Q8_0"), Traits<BlockQ2_K>(TensorType::kQ2_K, "Q2_K"),
    Traits<BlockQ3_K>(TensorType::kQ3_K, "Q3_K"), Traits<BlockQ4_K>(TensorType::kQ4_K, "Q4_K"),
    Traits<BlockQ5_K>(TensorType::kQ5_K, "Q5_K"), Traits<BlockQ6_K>(TensorType::kQ6_K, "Q6_K"),
    Traits<BlockBF16>(TensorType::kBF16, "BF16"),
};

constexpr UnsupportedType kUnsupportedTypes[] = {
    {4, "Q4_2", true},        {5, "Q4_3", true},        {9, "Q8_1", false},
    {15, "Q8_K", false},      {16, "IQ2_XXS", false},   {17, "IQ2_XS", false},
    {18, "IQ3_XXS", false},   {19, "IQ1_S", false},     {20, "IQ4_NL", false},
    {21, "IQ3_S", false},     {22, "IQ2_S", false},     {23, "IQ4_XS", false},
    {24, "I8", false},        {25, "I16", false},       {26, "I32", false},
    {27, "I64", false},       {28, "F64", false},       {29, "IQ1_M", false},
    {31, "Q4_0_4_4", true},   {32, "Q4_0_4_8", true},   {33, "Q4_0_8_8", true},
    {34, "TQ1_0", false},     {35, "TQ2_0", false},     {36, "IQ4_NL_4_4", true},
    {37, "IQ4_NL_4_8", true}, {38, "IQ4_NL_8_8", true}, {39, "MXFP4", false},
    {40, "NVFP4", false},     {41, "Q1_0", false},      {42, "Q2_0", false},
};

}  // namespace

const TypeTraits* FindTypeTraits(uint32_t id) {
  for (const TypeTraits& traits : kTraits) {
    if (static_cast<uint32_t>(traits.type) == id) return &traits;
  }
  return nullptr;
}

const UnsupportedType* FindUnsupportedType(uint32_t id) {
  for (const UnsupportedType& type : kUnsupportedTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

const TypeTraits& TraitsOf(TensorType type) {
  const TypeTraits* traits = FindTypeTraits(static_cast<uint32_t>(type));
  CHECK(traits != nullptr);
  return *traits;
}

absl::Span<const TypeTraits> AllTypeTraits() { return kTraits; }

uint64_t RowBytes(TensorType type, uint64_t elements) {
  const TypeTraits& traits = TraitsOf(type);
  CHECK(elements % traits.block_elements == 0);
  return elements / traits.block_elements * traits.block_bytes;
}

}  // namespace baton
