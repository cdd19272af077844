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
    Listed(TensorType::kQ8_1, "Q8_1", 32, 36),
    Listed(TensorType::kQ8_K, "Q8_K", 256, 292),
    Listed(TensorType::kIQ2_XXS, "IQ2_XXS", 256, 66),
    Listed(TensorType::kIQ2_XS, "IQ2_XS", 256, 74),
    Listed(TensorType::kIQ3_XXS, "IQ3_XXS", 256, 98),
    Listed(TensorType::kIQ1_S, "IQ1_S", 256, 50),
    Listed(TensorType::kIQ4_NL, "IQ4_NL", 32, 18),
    Listed(TensorType::kIQ3_S, "IQ3_S", 256, 110),
    Listed(TensorType::kIQ2_S, "IQ2_S", 256, 82),
    Listed(TensorType::kIQ4_XS, "IQ4_XS", 256, 136),
    Listed(TensorType::kIQ1_M, "IQ1_M", 256, 56),
    Listed(TensorType::kTQ1_0, "TQ1_0", 256, 54),
    Listed(TensorType::kTQ2_0, "TQ2_0", 256, 66),
    Listed(TensorType::kMXFP4, "MXFP4", 32, 17),
    Listed(TensorType::kNVFP4, "NVFP4", 64, 36),
    Listed(TensorType::kQ1_0, "Q1_0", 128, 18),
    Listed(TensorType::kQ2_0, "Q2_0", 64, 18),
    Listed(TensorType::kI8, "I8", 1, 1),
    Listed(TensorType::kI16, "I16", 1, 2),
    Listed(TensorType::kI32, "I32", 1, 4),
    Listed(TensorType::kI64, "I64", 1, 8),
    Listed(TensorType::kF64, "F64", 1, 8),
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
