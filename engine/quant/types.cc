#include "engine/quant/types.h"

#include "engine/base/check.h"
#include "engine/quant/blocks.h"

namespace baton {
namespace {

template <typename Block>
constexpr TypeTraits Traits(TensorType type, const char* name) {
  return {type, name, Block::kElements, sizeof(Block), /*is_weight=*/true};
}

// One that nothing multiplies with.
constexpr TypeTraits Listed(TensorType type, const char* name, uint32_t elements, uint32_t bytes) {
  return {type, name, elements, bytes, /*is_weight=*/false};
}

constexpr TypeTraits kTraits[] = {
    Traits<BlockF32>(TensorType::kF32, "F32"),
    Traits<BlockF16>(TensorType::kF16, "F16"),
    Traits<BlockQ4_0>(TensorType::kQ4_0, "Q4_0"),
    Traits<BlockQ4_1>(TensorType::kQ4_1, "Q4_1"),
    Traits<BlockQ5_0>(TensorType::kQ5_0, "Q5_0"),
    Traits<BlockQ5_1>(TensorType::kQ5_1, "Q5_1"),
    Traits<BlockQ8_0>(TensorType::kQ8_0, "Q8_0"),
    Traits<BlockQ2_K>(TensorType::kQ2_K, "Q2_K"),
    Traits<BlockQ3_K>(TensorType::kQ3_K, "Q3_K"),
    Traits<BlockQ4_K>(TensorType::kQ4_K, "Q4_K"),
    Traits<BlockQ5_K>(TensorType::kQ5_K, "Q5_K"),
    Traits<BlockQ6_K>(TensorType::kQ6_K, "Q6_K"),
    Traits<BlockBF16>(TensorType::kBF16, "BF16"),
    Traits<BlockIQ2_XXS>(TensorType::kIQ2_XXS, "IQ2_XXS"),
    Traits<BlockIQ2_XS>(TensorType::kIQ2_XS, "IQ2_XS"),
    Traits<BlockIQ3_XXS>(TensorType::kIQ3_XXS, "IQ3_XXS"),
    Traits<BlockIQ1_S>(TensorType::kIQ1_S, "IQ1_S"),
    Traits<BlockIQ4_NL>(TensorType::kIQ4_NL, "IQ4_NL"),
    Traits<BlockIQ3_S>(TensorType::kIQ3_S, "IQ3_S"),
    Traits<BlockIQ2_S>(TensorType::kIQ2_S, "IQ2_S"),
    Traits<BlockIQ4_XS>(TensorType::kIQ4_XS, "IQ4_XS"),
    Traits<BlockIQ1_M>(TensorType::kIQ1_M, "IQ1_M"),
    Traits<BlockTQ1_0>(TensorType::kTQ1_0, "TQ1_0"),
    Traits<BlockTQ2_0>(TensorType::kTQ2_0, "TQ2_0"),
    Traits<BlockMXFP4>(TensorType::kMXFP4, "MXFP4"),
    Traits<BlockNVFP4>(TensorType::kNVFP4, "NVFP4"),
    Traits<BlockQ1_0>(TensorType::kQ1_0, "Q1_0"),
    Traits<BlockQ2_0>(TensorType::kQ2_0, "Q2_0"),
    Traits<BlockF64>(TensorType::kF64, "F64"),
    Listed(TensorType::kQ8_1, "Q8_1", 32, 36),
    Listed(TensorType::kQ8_K, "Q8_K", 256, 292),
    Listed(TensorType::kI8, "I8", 1, 1),
    Listed(TensorType::kI16, "I16", 1, 2),
    Listed(TensorType::kI32, "I32", 1, 4),
    Listed(TensorType::kI64, "I64", 1, 8),
};

struct RemovedType {
  uint32_t id;
  const char* name;
};

constexpr RemovedType kRemovedTypes[] = {
    {4, "Q4_2"},      {5, "Q4_3"},        {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
};

}  // namespace

const TypeTraits* FindTypeTraits(uint32_t id) {
  for (const TypeTraits& traits : kTraits) {
    if (static_cast<uint32_t>(traits.type) == id) return &traits;
  }
  return nullptr;
}

const char* RemovedTypeName(uint32_t id) {
  for (const RemovedType& type : kRemovedTypes) {
    if (type.id == id) return type.name;
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
