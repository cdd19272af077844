#include "coordinator/api/api_error.h"

#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace baton {
namespace {

using Json = nlohmann::ordered_json;

// What an error carries beside its message.
constexpr char kParam[] = "baton/param";
constexpr char kPromptTokens[] = "baton/n_prompt_tokens";
constexpr char kContextLength[] = "baton/n_ctx";

// For a full queue or a server that loads: when another try makes sense.
constexpr char kRetryAfterSeconds[] = "1";

struct Kind {
  absl::StatusCode status;
  int http_status;
  const char* type;
  const char* code;  // null where OpenAI has none
};

// The first one is what nobody could foresee.
constexpr Kind kKinds[] = {
    {absl::StatusCode::kInternal, 500, "server_error", nullptr},
    {absl::StatusCode::kInvalidArgument, 400, "invalid_request_error", nullptr},
    {absl::StatusCode::kFailedPrecondition, 400, "invalid_request_error", nullptr},
    {absl::StatusCode::kNotFound, 404, "not_found_error", nullptr},
    {absl::StatusCode::kUnimplemented, 405, "invalid_request_error", nullptr},
    {absl::StatusCode::kResourceExhausted, 429, "rate_limit_error", "rate_limit_exceeded"},
    {absl::StatusCode::kUnavailable, 503, "unavailable_error", nullptr},
    {absl::StatusCode::kCancelled, 503, "unavailable_error", nullptr},
    {absl::StatusCode::kDeadlineExceeded, 504, "timeout_error", nullptr},
};

const Kind& KindOf(const absl::Status& error) {
  for (const Kind& kind : kKinds) {
    if (kind.status == error.code()) return kind;
  }
  return kKinds[0];
}

std::optional<std::string> Payload(const absl::Status& error, const char* name) {
  const auto payload = error.GetPayload(name);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

}  // namespace

absl::Status FieldError(absl::string_view field, absl::string_view message) {
  absl::Status error = absl::InvalidArgumentError(message);
  error.SetPayload(kParam, absl::Cord(field));
  return error;
}

absl::Status ContextError(int64_t prompt_tokens, int64_t context_length) {
  absl::Status error = absl::InvalidArgumentError(
      absl::StrCat("the prompt has ", prompt_tokens, " tokens, and the context has room for ",
                   context_length, ": expected a shorter prompt"));
  error.SetPayload(kPromptTokens, absl::Cord(absl::StrCat(prompt_tokens)));
  error.SetPayload(kContextLength, absl::Cord(absl::StrCat(context_length)));
  return error;
}

Json ErrorJson(const absl::Status& error) {
  const Kind& kind = KindOf(error);
  Json object = {{"message", std::string(error.message())},
                 {"type", kind.type},
                 {"param", nullptr},
                 {"code", nullptr}};
  if (kind.code != nullptr) object["code"] = kind.code;
  if (const auto param = Payload(error, kParam)) object["param"] = *param;
  int64_t count = 0;
  for (const auto& [name, field] :
       {std::pair(kPromptTokens, "n_prompt_tokens"), std::pair(kContextLength, "n_ctx")}) {
    const std::optional<std::string> text = Payload(error, name);
    if (!text.has_value() || !absl::SimpleAtoi(*text, &count)) continue;
    object["code"] = "context_length_exceeded";
    object[field] = count;
  }
  return {{"error", std::move(object)}};
}

HttpResponse ErrorResponse(const absl::Status& error) {
  HttpResponse response;
  response.status = KindOf(error).http_status;
  response.body = ErrorJson(error).dump(-1, ' ', false, Json::error_handler_t::replace);
  if (response.status == 429 || response.status == 503) {
    response.headers.emplace_back("Retry-After", kRetryAfterSeconds);
  }
  return response;
}

HttpResponse RefusalResponse(int http_status, const std::string& message) {
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
  for (const Kind& kind : kKinds) {
    if (kind.http_status == http_status) code = kind.status;
  }
  HttpResponse response = ErrorResponse(absl::Status(code, message));
  response.status = http_status;
  return response;
}

}  // namespace baton
