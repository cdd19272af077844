// Errors as clients of OpenAI's API read them.
#ifndef BATON_COORDINATOR_API_API_ERROR_H_
#define BATON_COORDINATOR_API_API_ERROR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "coordinator/http/http_message.h"
#include "nlohmann/json.hpp"

namespace baton {

// InvalidArgument: a field of the request has no meaning here. `message` names it and says what was
// found and what is expected.
absl::Status FieldError(absl::string_view field, absl::string_view message);

// InvalidArgument: a prompt has no room in the context; OpenAI's code context_length_exceeded.
absl::Status ContextError(int64_t prompt_tokens, int64_t context_length);

// {"error": {"message", "type", "param", "code"}}, and for a prompt that is too long llama.cpp's
// n_prompt_tokens and n_ctx beside them.
nlohmann::ordered_json ErrorJson(const absl::Status& error);

// The same as a whole response, whose status follows from the code: InvalidArgument 400, NotFound
// 404, ResourceExhausted 429, Unavailable 503 (these two ask to come back),
// DeadlineExceeded 504, others 500.
HttpResponse ErrorResponse(const absl::Status& error);

// For a request that HTTP itself refuses, whose status is known.
HttpResponse RefusalResponse(int http_status, const std::string& message);

}  // namespace baton

#endif  // BATON_COORDINATOR_API_API_ERROR_H_
