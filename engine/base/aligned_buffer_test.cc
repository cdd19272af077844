#include "engine/base/aligned_buffer.h"

#include <cstdint>
#include <utility>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(AlignedBufferTest, IsAlignedWritableAndMovable) {
  for (size_t size : {size_t{1}, size_t{4097}, size_t{9} << 20}) {
    AlignedBuffer buffer(size);
    ASSERT_EQ(buffer.size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kBufferAlignment, 0u);
    buffer.data()[size - 1] = 42;
    const uint8_t* data = buffer.data();
    AlignedBuffer moved = std::move(buffer);
    EXPECT_EQ(moved.data(), data);
    EXPECT_EQ(buffer.data(), nullptr);
    EXPECT_EQ(moved.data()[size - 1], 42);
  }
}

TEST(AlignedBufferTest, TooLargeIsEmpty) {
  AlignedBuffer buffer(size_t{1} << 60);
  EXPECT_EQ(buffer.size(), 0u);
  EXPECT_EQ(buffer.data(), nullptr);
}

}  // namespace
}  // namespace baton
