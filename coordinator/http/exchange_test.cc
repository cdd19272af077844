#include "coordinator/http/exchange.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

class ExchangeTest : public testing::Test {
 protected:
  int wakes_ = 0;
  Exchange exchange_{[this] { ++wakes_; }, /*unsent_limit=*/100};
};

TEST_F(ExchangeTest, GathersEventsUntilTheyAreTaken) {
  EXPECT_TRUE(exchange_.Take().empty());
  exchange_.SendEvents("one ");
  exchange_.SendEvents("two");
  EXPECT_EQ(wakes_, 1);
  const Exchange::Output first = exchange_.Take();
  EXPECT_EQ(first.events, "one two");
  EXPECT_TRUE(first.streaming);
  EXPECT_FALSE(first.ended);
  exchange_.End();
  EXPECT_EQ(wakes_, 2);
  const Exchange::Output last = exchange_.Take();
  EXPECT_TRUE(last.ended);
  EXPECT_TRUE(last.streaming);
  EXPECT_FALSE(last.whole.has_value());
}

TEST_F(ExchangeTest, AWholeAnswerIsTheOnlyOne) {
  exchange_.Send({.status = 201, .body = "x", .headers = {}});
  exchange_.Send({.status = 500, .body = "y", .headers = {}});
  exchange_.SendEvents("late");
  const Exchange::Output output = exchange_.Take();
  ASSERT_TRUE(output.whole.has_value());
  EXPECT_EQ(output.whole->status, 201);
  EXPECT_TRUE(output.ended);
  EXPECT_EQ(output.events, "");
}

TEST_F(ExchangeTest, TellsOnceThatTheClientIsGone) {
  int gone = 0;
  exchange_.OnGone([&] { ++gone; });
  exchange_.SetGone();
  exchange_.SetGone();
  EXPECT_EQ(gone, 1);
  exchange_.SendEvents("to nobody");
  EXPECT_TRUE(exchange_.Take().empty());
}

TEST_F(ExchangeTest, TellsAtOnceWhereItIsGoneAlready) {
  exchange_.SetGone();
  int gone = 0;
  exchange_.OnGone([&] { ++gone; });
  EXPECT_EQ(gone, 1);
}

TEST_F(ExchangeTest, NobodyIsGoneAfterTheEnd) {
  int gone = 0;
  exchange_.OnGone([&] { ++gone; });
  exchange_.End();
  exchange_.SetGone();
  EXPECT_EQ(gone, 0);
}

TEST_F(ExchangeTest, AClientThatDoesNotReadIsGone) {
  int gone = 0;
  exchange_.OnGone([&] { ++gone; });
  exchange_.SendEvents(std::string(100, 'x'));
  EXPECT_EQ(gone, 0);
  exchange_.SendEvents("y");
  EXPECT_EQ(gone, 1);
  EXPECT_TRUE(exchange_.gone());
}

}  // namespace
}  // namespace baton
