#include "coordinator/cli/arguments.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

using Words = std::vector<std::string>;

Words Normalize(const Words& words) {
  const KnownFlags flags = {
      {"n", {"--max-tokens", true}}, {"max-tokens", {"--max-tokens", true}},
      {"p", {"--prompt", true}},     {"prompt", {"--prompt", true}},
      {"ctk", {"--ctk", true}},      {"json", {"--json", false}},
      {"temp", {"--temp", true}},
  };
  return NormalizeArguments(words, flags);
}

TEST(NormalizeArgumentsTest, KnowsEverySpelling) {
  for (const Words& words :
       {Words{"-n", "4"}, Words{"--n", "4"}, Words{"--max-tokens", "4"}, Words{"--max_tokens", "4"},
        Words{"-max_tokens", "4"}, Words{"--max_tokens=4"}, Words{"-n=4"}}) {
    EXPECT_EQ(Normalize(words), Words{"--max-tokens=4"}) << words[0];
  }
  EXPECT_EQ(Normalize({"-ctk", "f32", "--json"}), (Words{"--ctk=f32", "--json"}));
}

TEST(NormalizeArgumentsTest, AValueMayLookLikeAnything) {
  EXPECT_EQ(Normalize({"-p", "--max_tokens is a flag"}), Words{"--prompt=--max_tokens is a flag"});
  EXPECT_EQ(Normalize({"--temp", "-1"}), Words{"--temp=-1"});
  EXPECT_EQ(Normalize({"-p", "a=b_c"}), Words{"--prompt=a=b_c"});
  EXPECT_EQ(Normalize({"--prompt=a=b_c"}), Words{"--prompt=a=b_c"});
  EXPECT_EQ(Normalize({"-p", "--"}), Words{"--prompt=--"});
}

TEST(NormalizeArgumentsTest, AnEmptyValueIsAWordOfItsOwn) {
  EXPECT_EQ(Normalize({"-p", "", "-n", "1"}), (Words{"--prompt", "", "--max-tokens=1"}));
  EXPECT_EQ(Normalize({"--prompt=", "-n", "1"}), (Words{"--prompt", "", "--max-tokens=1"}));
}

TEST(NormalizeArgumentsTest, LeavesTheRestAlone) {
  for (const Words& words : {Words{"tokenize"}, Words{"--no_such_flag", "x"}, Words{"-"},
                             Words{"-5"}, Words{"--", "-n", "4"}, Words{""}, Words{"-x=1"}}) {
    EXPECT_EQ(Normalize(words), words) << words[0];
  }
  EXPECT_EQ(Normalize({"-n"}), Words{"--max-tokens"});
}

}  // namespace
}  // namespace baton
