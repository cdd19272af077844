#include "coordinator/api/api_error.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

nlohmann::json BodyOf(const HttpResponse& response) {
  return nlohmann::json::parse(response.body)["error"];
}

TEST(ErrorResponseTest, HasOpenAisForm) {
  const HttpResponse response = ErrorResponse(FieldError("n", "'n' is 0"));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(BodyOf(response), nlohmann::json({{"message", "'n' is 0"},
                                              {"type", "invalid_request_error"},
                                              {"param", "n"},
                                              {"code", nullptr}}));
}

TEST(ErrorResponseTest, TellsBothNumbersOfAPromptThatIsTooLong) {
  const nlohmann::json error = BodyOf(ErrorResponse(ContextError(2001, 2000)));
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["n_prompt_tokens"], 2001);
  EXPECT_EQ(error["n_ctx"], 2000);
  EXPECT_NE(error["message"].get<std::string>().find("2001"), std::string::npos);
}

TEST(ErrorResponseTest, TheStatusFollowsFromTheCode) {
  EXPECT_EQ(ErrorResponse(absl::NotFoundError("x")).status, 404);
  EXPECT_EQ(ErrorResponse(absl::InternalError("x")).status, 500);
  EXPECT_EQ(ErrorResponse(absl::DataLossError("x")).status, 500);
  EXPECT_EQ(ErrorResponse(absl::DeadlineExceededError("x")).status, 504);
  for (const absl::Status& busy :
       {absl::ResourceExhaustedError("x"), absl::UnavailableError("x")}) {
    const HttpResponse response = ErrorResponse(busy);
    EXPECT_EQ(response.status, absl::IsUnavailable(busy) ? 503 : 429);
    ASSERT_EQ(response.headers.size(), 1u);
    EXPECT_EQ(response.headers[0].first, "Retry-After");
  }
  EXPECT_EQ(RefusalResponse(413, "long").status, 413);
  EXPECT_EQ(BodyOf(RefusalResponse(413, "long"))["type"], "invalid_request_error");
  EXPECT_EQ(BodyOf(RefusalResponse(503, "full"))["type"], "unavailable_error");
}

TEST(ErrorResponseTest, WhatIsNotUtf8StaysJson) {
  EXPECT_NO_THROW(BodyOf(ErrorResponse(absl::InternalError("\xff"))));
}

}  // namespace
}  // namespace baton
