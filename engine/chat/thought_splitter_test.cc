#include "engine/chat/thought_splitter.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

const ThoughtMarks kThink = {"<think>", "", "</think>"};
const ThoughtMarks kBegun = {"<think>", "", "</think>", /*has_begun=*/true};
const ThoughtMarks kHarmony = {"<|channel|>analysis<|message|>", "<|end|><|start|>assistant",
                               "<|channel|>final<|message|>"};

// However the text is cut, the parts are the same.
void ExpectParts(const ThoughtMarks& marks, const std::string& text, const std::string& thought,
                 const std::string& said) {
  for (size_t step = 1; step <= text.size() + 1; ++step) {
    ThoughtSplitter splitter(marks);
    ThoughtSplitter::Parts all;
    const auto add = [&all](const ThoughtSplitter::Parts& parts) {
      all.thought += parts.thought;
      all.said += parts.said;
    };
    for (size_t at = 0; at < text.size(); at += step) add(splitter.Push(text.substr(at, step)));
    add(splitter.Flush());
    EXPECT_EQ(all.thought, thought) << text << " by " << step;
    EXPECT_EQ(all.said, said) << text << " by " << step;
  }
}

TEST(ThoughtSplitterTest, ThinkTags) {
  ExpectParts(kThink, "<think>\nHm\n\nm.\n</think>\n\nHi\n", "Hm\n\nm.", "Hi\n");
  ExpectParts(kThink, "Hi </think>", "", "Hi </think>");
  ExpectParts(kThink, "<thin", "", "<thin");
  ExpectParts(kThink, "<think>a </thin", "a </thin", "");
  ExpectParts(kThink, "<think></think>a<think>b</think>", "", "a<think>b</think>");
  ExpectParts(kThink, "", "", "");
}

TEST(ThoughtSplitterTest, ThePromptHasBegun) {
  ExpectParts(kBegun, "a\n</think>\nb", "a", "b");
  ExpectParts(kBegun, "a\n", "a\n", "");
}

TEST(ThoughtSplitterTest, Harmony) {
  ExpectParts(kHarmony,
              "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final"
              "<|message|>Hi <|end|>",
              "Hm.", "Hi <|end|>");
  ExpectParts(kHarmony, "<|channel|>final<|message|>Hi", "", "Hi");
  ExpectParts(kHarmony, "<|channel|>analysis<|message|>Hm.<|end|>!", "Hm.<|end|>!", "");
  ExpectParts(kHarmony, "Hi", "", "Hi");
}

TEST(ThoughtSplitterTest, WithoutMarksAllIsSaid) {
  ExpectParts({}, "<think>\na\n</think>\n", "", "<think>\na\n</think>\n");
}

TEST(ThoughtSplitterTest, HoldsBackNoMoreThanItMust) {
  ThoughtSplitter splitter(kThink);
  EXPECT_EQ(splitter.Push("<think>a b").thought, "a b");
  EXPECT_EQ(splitter.Push(" </t").thought, " ");
  EXPECT_EQ(splitter.Push("x\n").thought, "</tx");
  EXPECT_EQ(splitter.Push("y</think>\n").thought, "\ny");
  EXPECT_EQ(splitter.Push("z<").said, "z<");
}

}  // namespace
}  // namespace baton
