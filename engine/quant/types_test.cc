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
      {0, "F32", 1, 4},       {1, "F16", 1, 2},       {2, "Q4_0", 32, 18},
      {3, "Q4_1", 32, 20},    {6, "Q5_0", 32, 22},    {7, "Q5_1", 32, 24},
      {8, "Q8_0", 32, 34},    {10, "Q2_K", 256, 84},  {11, "Q3_K", 256, 110},
      {12, "Q4_K", 256, 144}, {13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210},
      {30, "BF16", 1, 2},
  };
  EXPECT_EQ(AllTypeTraits().size(), std::size(kExpected));
  for (const Expected& expected : kExpected) {
    const TypeTraits* traits = FindTypeTraits(expected.id);
    ASSERT_NE(traits, nullptr) << expected.name;
    EXPECT_STREQ(traits->name, expected.name);
    EXPECT_EQ(traits->block_elements, expected.elements) << expected.name;
    EXPECT_EQ(traits->block_bytes, expected.bytes) << expected.name;
    EXPECT_TRUE(traits->is_weight) << expected.name;
    EXPECT_EQ(&TraitsOf(traits->type), traits);
  }
}

TEST(TypesTest, RowBytes) {
  EXPECT_EQ(RowBytes(TensorType::kF32, 3), 12u);
  EXPECT_EQ(RowBytes(TensorType::kQ4_0, 2048), 1152u);
  EXPECT_EQ(RowBytes(TensorType::kQ4_K, 2048), 1152u);
  EXPECT_EQ(RowBytes(TensorType::kQ6_K, 5632), 4620u);
}

TEST(TypesTest, OtherIdsHaveNoTraitsButOftenAName) {
  for (uint32_t id : {4u, 5u, 9u, 17u, 31u, 39u, 42u, 43u, 255u, 0x80000000u, 0xFFFFFFFFu}) {
    EXPECT_EQ(FindTypeTraits(id), nullptr) << id;
  }
  EXPECT_STREQ(FindUnsupportedType(17)->name, "IQ2_XS");
  EXPECT_FALSE(FindUnsupportedType(17)->is_removed);
  EXPECT_STREQ(FindUnsupportedType(4)->name, "Q4_2");
  EXPECT_TRUE(FindUnsupportedType(4)->is_removed);
  EXPECT_EQ(FindUnsupportedType(43), nullptr);
  EXPECT_EQ(FindUnsupportedType(0), nullptr);
}

TEST(TypesTest, EveryDefinedIdHasOneName) {
  std::set<std::string> names;
  for (uint32_t id = 0; id <= 42; ++id) {
    const TypeTraits* traits = FindTypeTraits(id);
    const UnsupportedType* unsupported = FindUnsupportedType(id);
    ASSERT_NE(traits == nullptr, unsupported == nullptr) << id;
    const std::string name = traits != nullptr ? traits->name : unsupported->name;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

}  // namespace
}  // namespace baton
