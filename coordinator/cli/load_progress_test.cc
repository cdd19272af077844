#include "coordinator/cli/load_progress.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(LoadProgressDisplayTest, HasABarPerWorker) {
  LoadProgressDisplay display({"a", "b"}, false);
  display.Update(0, 1, 2);
  display.Update(1, 3, 3);
  EXPECT_EQ(display.Bars(),
            "loading  0 [##########..........]  50%  1 [####################] 100%");
}

TEST(LoadProgressDisplayTest, ManyWorkersHaveNumbersAlone) {
  LoadProgressDisplay display(std::vector<std::string>(20, "w"), false);
  display.Update(19, 1, 4);
  EXPECT_NE(display.Bars().find("  18   0%  19  25%"), std::string::npos) << display.Bars();
}

TEST(LoadProgressDisplayTest, SaysWhatIsDoneOnceAndIgnoresNonsense) {
  LoadProgressDisplay display({"worker 0"}, false);
  testing::internal::CaptureStderr();
  display.Update(0, 1024, 2048);
  display.Update(0, 2048, 2048);
  display.Update(0, 2048, 2048);
  display.Update(1, 1, 1);
  display.Update(-1, 1, 1);
  display.Update(0, 0, 0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "stage 0 (worker 0) loaded 2.00 KiB\n");
}

}  // namespace
}  // namespace baton
