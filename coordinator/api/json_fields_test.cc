#include "coordinator/api/json_fields.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

TEST(ParseObjectTest, SaysWhatIsWrong) {
  EXPECT_TRUE(ParseObject("{}").ok());
  EXPECT_THAT(MessageOf(ParseObject("{\"a\": ]").status()),
              testing::AllOf(HasSubstr("not JSON"), HasSubstr("column 7")));
  EXPECT_THAT(MessageOf(ParseObject("[1]").status()), HasSubstr("a list of 1"));
  EXPECT_THAT(MessageOf(ParseObject("").status()), HasSubstr("not JSON"));
  EXPECT_FALSE(ParseObject("{\"a\": \"\xff\"}").ok());
  EXPECT_FALSE(ParseObject(std::string(1 << 20, '[')).ok());
}

TEST(ParseObjectTest, RefusesWhatIsNestedTooDeep) {
  const auto nested = [](int depth) {
    return "{\"a\": " + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_TRUE(ParseObject(nested(64)).ok());
  EXPECT_THAT(MessageOf(ParseObject(nested(65)).status()), HasSubstr("deeper than 64"));
  EXPECT_FALSE(ParseObject(nested(1'000'000)).ok());
  // Brackets in a text are none, also behind a quote in it.
  EXPECT_TRUE(ParseObject("{\"a\": \"\\\"" + std::string(100, '[') + "\"}").ok());
  EXPECT_TRUE(ParseObject("{\"a\": [" + std::string(100, ' ') + "[1], [2], [3]]}").ok());
}

TEST(ParseObjectTest, RefusesNumbersThatHaveNoPlace) {
  EXPECT_THAT(MessageOf(ParseObject("{\"a\": 1e400}").status()), HasSubstr("1e400"));
}

TEST(JsonFieldsTest, LeavesAloneWhatIsNotGiven) {
  const json object = {{"b", nullptr}};
  JsonFields fields(object);
  float number = 7;
  int64_t count = 8;
  bool flag = true;
  EXPECT_TRUE(fields.Get("a", 0, 1, &number).ok());
  EXPECT_TRUE(fields.Get("b", 0, 1, &number).ok());
  EXPECT_TRUE(fields.Get("b", int64_t{0}, int64_t{1}, &count).ok());
  EXPECT_TRUE(fields.Get("b", &flag).ok());
  EXPECT_EQ(number, 7);
  EXPECT_EQ(count, 8);
  EXPECT_TRUE(flag);
  EXPECT_EQ(fields.Find("b"), nullptr);
}

TEST(JsonFieldsTest, NamesTypeAndBounds) {
  const json object = {{"x", 1.5},   {"i", 3},        {"s", "text"},
                       {"f", false}, {"huge", 1e300}, {"large", uint64_t{1} << 63}};
  JsonFields fields(object);
  float number = 0;
  int64_t count = 0;
  bool flag = true;
  EXPECT_TRUE(fields.Get("x", 0, 2, &number).ok());
  EXPECT_EQ(number, 1.5f);
  EXPECT_TRUE(fields.Get("i", 0, 3, &number).ok());
  EXPECT_EQ(number, 3);
  EXPECT_TRUE(fields.Get("f", &flag).ok());
  EXPECT_FALSE(flag);
  EXPECT_EQ(MessageOf(fields.Get("x", 0, 1, &number)), "'x' is 1.5; expected a number from 0 to 1");
  EXPECT_EQ(MessageOf(fields.Get("s", 0, 1, &number)),
            "'s' is \"text\"; expected a number from 0 to 1");
  EXPECT_EQ(MessageOf(fields.Get("x", int64_t{0}, int64_t{9}, &count)),
            "'x' is 1.5; expected a whole number from 0 to 9");
  EXPECT_FALSE(fields.Get("huge", int64_t{0}, INT64_MAX, &count).ok());
  EXPECT_FALSE(fields.Get("large", int64_t{0}, INT64_MAX, &count).ok());
  EXPECT_FALSE(fields.Get("s", INT64_MIN, INT64_MAX, &count).ok());
  EXPECT_EQ(count, 0);
  EXPECT_EQ(MessageOf(fields.Get("i", &flag)), "'i' is 3; expected true or false");
}

TEST(JsonFieldsTest, NoFieldGoesUnnoticed) {
  const json object = {{"known", 1}, {"ignored", 2}, {"other", 3}, {"none", nullptr}};
  JsonFields fields(object);
  fields.Find("known");
  fields.Ignore({"ignored"});
  EXPECT_THAT(MessageOf(fields.CheckAllKnown()), HasSubstr("'other'"));
  fields.Find("other");
  EXPECT_TRUE(fields.CheckAllKnown().ok());
}

TEST(JsonFieldsTest, RefusesAllButWhatAsksForNothing) {
  const json object = {{"a", false},  {"b", json::array()},  {"c", ""},   {"d", nullptr},
                       {"e", "none"}, {"f", json::object()}, {"g", true}, {"h", {{"x", "y"}}}};
  JsonFields fields(object);
  for (const char* name : {"a", "b", "c", "d", "f", "absent"}) {
    EXPECT_TRUE(fields.Refuse(name).ok()) << name;
  }
  EXPECT_TRUE(fields.Refuse("e", "none").ok());
  EXPECT_TRUE(fields.Refuse("h", {{"x", "y"}}).ok());
  EXPECT_EQ(MessageOf(fields.Refuse("g")), "'g' is not supported");
  EXPECT_FALSE(fields.Refuse("e").ok());
}

}  // namespace
}  // namespace baton
