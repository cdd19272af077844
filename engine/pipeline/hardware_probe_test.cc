// That figures come out, on one thread and several; how large they are no test can know.
#include "engine/pipeline/hardware_probe.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(HardwareProbeTest, MeasuresWithAnyThreads) {
  for (const int threads : {1, 3}) {
    const auto probe = HardwareProbe::Create(BestIsa(), threads, 5 << 20);
    ASSERT_TRUE(probe.ok()) << probe.status();
    EXPECT_GT((*probe)->ReadBytesPerSecond(), 0);
    EXPECT_GT((*probe)->ReadBytesPerSecond(), 0);
    if (BestIsa() == Isa::kScalar) continue;
    EXPECT_GT((*probe)->Int8OperationsPerSecond(), 0);
    EXPECT_GT((*probe)->F32OperationsPerSecond(), 0);
  }
}

TEST(HardwareProbeTest, ScalarHasNoPeak) {
  const auto probe = HardwareProbe::Create(Isa::kScalar, 1, 1);
  ASSERT_TRUE(probe.ok()) << probe.status();
  EXPECT_EQ((*probe)->Int8OperationsPerSecond(), 0);
  EXPECT_EQ((*probe)->F32OperationsPerSecond(), 0);
  EXPECT_GT((*probe)->ReadBytesPerSecond(), 0);
}

}  // namespace
}  // namespace baton
