#include "engine/gguf/problem.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(ProblemListTest, FirstErrorIsNoNote) {
  ProblemList problems;
  problems.Add(MakeNote(ProblemKind::kExtent, "a gap"));
  EXPECT_TRUE(problems.FirstError().ok());
  EXPECT_EQ(problems.worst(), Severity::kNote);
  problems.Add(MakeProblem(ProblemKind::kType, absl::FailedPreconditionError("a new type")));
  EXPECT_EQ(problems.worst(), Severity::kUnknown);
  problems.Add(MakeProblem(ProblemKind::kExtent, absl::DataLossError("cut")));
  EXPECT_EQ(problems.worst(), Severity::kBroken);
  EXPECT_EQ(problems.FirstError().message(), "a new type");
  EXPECT_TRUE(problems.Has(ProblemKind::kType));
  EXPECT_FALSE(problems.Has(ProblemKind::kShard));
}

TEST(ProblemListTest, KeepsSoManyAndCountsTheRest) {
  ProblemList problems;
  for (size_t i = 0; i < kMaxProblems + 5; ++i) {
    problems.Add(MakeNote(ProblemKind::kExtent, "a gap"));
  }
  EXPECT_EQ(problems.problems().size(), kMaxProblems);
  EXPECT_EQ(problems.dropped_count(), 5u);
}

}  // namespace
}  // namespace baton
