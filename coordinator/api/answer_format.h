// Answers as JSON: whole ones, and the chunks of a stream, in OpenAI's forms for conversations and
// completions.
#ifndef BATON_COORDINATOR_API_ANSWER_FORMAT_H_
#define BATON_COORDINATOR_API_ANSWER_FORMAT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/api/generation_call.h"
#include "coordinator/api/served_model.h"
#include "coordinator/scheduler/request.h"
#include "engine/sampling/sampler.h"
#include "nlohmann/json.hpp"

namespace baton {

// A piece of what one choice says, or all of it.
struct AnswerPiece {
  int choice = 0;
  std::string thought;  // of a conversation: what comes before `text`, which answers the question
  std::string text;
  std::vector<SampleResult> samples;  // the tokens that `text` is of, where log-probabilities are
                                      // wanted
  int64_t text_offset = 0;            // characters of the tokens before them
  std::optional<FinishReason> finish;
};

// kStop "stop", kLength "length". The others end in an error instead.
const char* FinishReasonName(FinishReason reason);

// Of one call. Immutable, so thread-safe.
class AnswerFormat {
 public:
  // `model` outlives this.
  AnswerFormat(const GenerationCall& call, const ServedModel& model);

  const std::string& id() const { return id_; }

  // Events of a stream, in this order: Opening() of each choice, where it is not empty; pieces;
  // where they are asked for, the numbers of tokens; the end.
  std::string Opening(int choice) const;
  std::string Chunk(const AnswerPiece& piece) const;
  std::string UsageChunk(const Usage& usage) const;
  static std::string Done();
  // In place of the rest.
  static std::string ErrorEvent(const absl::Status& error);

  // The body of a whole answer.
  std::string Whole(const std::vector<AnswerPiece>& choices, const Usage& usage) const;

 private:
  nlohmann::ordered_json Head(const char* object) const;
  nlohmann::ordered_json Choice(const AnswerPiece& piece, const char* chat_field) const;
  nlohmann::ordered_json ChatLogprobs(const AnswerPiece& piece) const;
  nlohmann::ordered_json CompletionLogprobs(const AnswerPiece& piece) const;
  std::string TokenText(int32_t id) const;
  nlohmann::ordered_json TokenJson(int32_t id, float logprob) const;
  std::string ChunkHead() const;
  std::string ChunkEvent(const nlohmann::ordered_json& choices) const;

  const CallKind kind_;
  const bool logprobs_;
  const bool include_usage_;
  const ServedModel& model_;
  const std::string id_;
  const int64_t created_s_;
  const std::string chunk_head_;  // what all chunks of a stream begin with
};

}  // namespace baton

#endif  // BATON_COORDINATOR_API_ANSWER_FORMAT_H_
