#include "coordinator/cli/machine.h"

#include <thread>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(MachineTest, HasCoresAndMemory) {
  EXPECT_GE(PhysicalCoreCount(), 1);
  EXPECT_LE(PhysicalCoreCount(), static_cast<int>(std::thread::hardware_concurrency()));
  EXPECT_GT(AvailableMemoryBytes(), uint64_t{1} << 20);
}

}  // namespace
}  // namespace baton
