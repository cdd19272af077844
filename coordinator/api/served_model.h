// The model that is served, as the endpoints need it.
#ifndef BATON_COORDINATOR_API_SERVED_MODEL_H_
#define BATON_COORDINATOR_API_SERVED_MODEL_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/scheduler/speculation.h"
#include "engine/chat/chat_encoder.h"
#include "engine/sampling/sampler.h"
#include "engine/tokenizer/tokenizer.h"

namespace baton {

// What a request does not say, the server's command line does.
struct AnswerDefaults {
  SamplingParams sampling;
  bool seed_given = false;  // false: another seed for each request
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<std::string> stop;
  int32_t max_tokens = -1;  // -1: until the end token or the context's end
  bool ignore_eos = false;
  Speculation speculation = Speculation::kAuto;
  double timeout_ms = 0;  // 0: none
};

// Immutable, so thread-safe.
struct ServedModel {
  std::string id;              // the name that answers carry
  int64_t created_s = 0;       // when it was loaded, since 1970
  int32_t context_length = 0;  // positions of one sequence
  int32_t trained_context_length = 0;
  int32_t vocabulary_size = 0;
  int32_t width = 0;  // elements of a hidden row
  uint64_t parameter_count = 0;
  uint64_t weight_bytes = 0;
  const Tokenizer* tokenizer = nullptr;
  absl::StatusOr<ChatEncoder> chat;  // or why there are no conversations with it
  AnswerDefaults defaults;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_API_SERVED_MODEL_H_
