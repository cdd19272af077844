#include "engine/quant/types.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(TypesTest, SizesAreThoseOfTheFormat) {
  struct Expected {
    uint32_t id;
    const char* name;
    uint32_t elements;
    uint32_t bytes;
  };
  constexpr Expected kExpected[] = {
      {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
      {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},
      {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
      {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
      {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
      {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
      {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
      {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},
      {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
      {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36},
      {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},
  };
  EXPECT_EQ(AllTypeTraits().size(), std::size(kExpected));
  for (const Expected& expected : kExpected) {
    const TypeTraits* traits = FindTypeTraits(expected.id);
    ASSERT_NE(traits, nullptr) << expected.name;
    EXPECT_STREQ(traits->name, expected.name);
    EXPECT_EQ(traits->block_elements, expected.elements) << expected.name;
    EXPECT_EQ(traits->block_bytes, expected.bytes) << expected.name;
    EXPECT_EQ(&TraitsOf(traits->type), traits);
  }
}

TEST(TypesTest, RowBytes) {
  EXPECT_EQ(RowBytes(TensorType::kF32, 3), 12u);
  EXPECT_EQ(RowBytes(TensorType::kQ4_0, 2048), 1152u);
  EXPECT_EQ(RowBytes(TensorType::kQ4_K, 2048), 1152u);
  EXPECT_EQ(RowBytes(TensorType::kQ6_K, 5632), 4620u);
}

TEST(TypesTest, NothingMultipliesWithIntegers) {
  using enum TensorType;
  for (const TensorType type : {kI8, kI16, kI32, kI64, kQ8_1, kQ8_K}) {
    EXPECT_FALSE(TraitsOf(type).is_weight) << TraitsOf(type).name;
  }
  EXPECT_TRUE(TraitsOf(kQ4_0).is_weight);
}

TEST(TypesTest, RemovedAndFutureIdsHaveNoTraits) {
  for (uint32_t id : {4u, 5u, 31u, 38u, 43u, 255u, 0x80000000u, 0xFFFFFFFFu}) {
    EXPECT_EQ(FindTypeTraits(id), nullptr) << id;
  }
  EXPECT_STREQ(RemovedTypeName(4), "Q4_2");
  EXPECT_EQ(RemovedTypeName(43), nullptr);
  EXPECT_EQ(RemovedTypeName(0), nullptr);
}

TEST(TypesTest, EveryDefinedIdHasOneName) {
  std::set<std::string> names;
  for (uint32_t id = 0; id <= 42; ++id) {
    const TypeTraits* traits = FindTypeTraits(id);
    ASSERT_NE(traits == nullptr, RemovedTypeName(id) == nullptr) << id;
    const std::string name = traits != nullptr ? traits->name : RemovedTypeName(id);
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

}  // namespace
}  // namespace baton
