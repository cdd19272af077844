// What a client asks for, of /v1/chat/completions and /v1/completions.
#ifndef BATON_COORDINATOR_API_GENERATION_CALL_H_
#define BATON_COORDINATOR_API_GENERATION_CALL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/api/served_model.h"
#include "coordinator/scheduler/request.h"
#include "nlohmann/json.hpp"

namespace baton {

enum class CallKind { kChat, kCompletion };

// The fields and their defaults are OpenAI's, where it has them: `n`, `temperature`, `stop` ...;
// top_k, min_p, repeat_penalty, ignore_eos, cache_prompt are llama.cpp's. Sampling defaults are
// those of the command line.
struct GenerationCall {
  CallKind kind = CallKind::kChat;
  // One for each prompt, each with the same number of choices; all draw alike.
  std::vector<Request> requests;
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false;  // of a stream: a last chunk with the numbers of tokens
  bool logprobs = false;
};

// From the body of a request. InvalidArgument names the field and what is expected of it, or the
// field that is not supported; a prompt that the context has no room for is told with both numbers.
absl::StatusOr<GenerationCall> ReadChatCall(const nlohmann::json& body, const ServedModel& model);
absl::StatusOr<GenerationCall> ReadCompletionCall(const nlohmann::json& body,
                                                  const ServedModel& model);

// A list of token ids; InvalidArgument for one that is not in the vocabulary.
absl::StatusOr<std::vector<int32_t>> ReadIds(const std::string& name, const nlohmann::json& list,
                                             const ServedModel& model);

}  // namespace baton

#endif  // BATON_COORDINATOR_API_GENERATION_CALL_H_
