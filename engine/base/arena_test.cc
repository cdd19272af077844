#include "engine/base/arena.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(ArenaTest, PiecesAreAlignedZeroAndApart) {
  Arena arena;
  std::vector<uint8_t*> pieces;
  const std::vector<size_t> sizes = {
      1, 64, 65, size_t{50} << 20, size_t{20} << 20, size_t{70} << 20, 7};
  for (size_t size : sizes) {
    uint8_t* piece = arena.Take(size);
    ASSERT_NE(piece, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(piece) % kBufferAlignment, 0u);
    EXPECT_EQ(piece[0], 0);
    EXPECT_EQ(piece[size - 1], 0);
    pieces.push_back(piece);
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    pieces[i][0] = pieces[i][sizes[i] - 1] = static_cast<uint8_t>(i + 1);
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(pieces[i][0], i + 1);
    EXPECT_EQ(pieces[i][sizes[i] - 1], i + 1);
  }
}

TEST(ArenaTest, TooMuchIsNull) {
  Arena arena;
  EXPECT_EQ(arena.Take(size_t{1} << 60), nullptr);
  EXPECT_NE(arena.Take(64), nullptr);
}

}  // namespace
}  // namespace baton
