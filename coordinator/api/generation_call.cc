#include "coordinator/api/generation_call.h"

#include <cstdint>
#include <limits>
#include <random>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/json_fields.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

using Json = nlohmann::json;

constexpr int32_t kMostInt32 = std::numeric_limits<int32_t>::max();
constexpr int64_t kMostInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kLeastInt64 = std::numeric_limits<int64_t>::min();

constexpr int64_t kMostChoices = 128;      // OpenAI's bound of n
constexpr int64_t kMostTopLogprobs = 20;   // OpenAI's bound, of conversations
constexpr size_t kMostPrompts = 256;       // of one request: each is a place in the queue
constexpr size_t kMostStops = 64;          // every token is compared with each
constexpr size_t kMostStopBytes = 4096;    // what a stream may have to hold back
constexpr double kMostTemperature = 1000;  // beyond any use
constexpr double kMostPenalty = 1000;
constexpr double kLeastRepeatPenalty = 0.001;  // logits are divided by it
constexpr size_t kMostBiases = 1024;           // they travel with every step
// OpenAI's bound is 100; more of it is the same.
constexpr double kMostBias = 1e6;

// --- Prompts ---

absl::StatusOr<std::vector<int32_t>> ReadPrompt(const Json& prompt, const ServedModel& model) {
  if (prompt.is_array()) return ReadIds("prompt", prompt, model);
  const Tokenizer& tokenizer = *model.tokenizer;
  std::vector<int32_t> ids = tokenizer.Encode(prompt.get_ref<const std::string&>(), {});
  if (ids.empty() && tokenizer.adds_bos() && tokenizer.bos().has_value()) {
    ids.push_back(*tokenizer.bos());
  }
  return ids;
}

// A string, a list of them, token ids, or a list of lists of those.
absl::StatusOr<std::vector<std::vector<int32_t>>> ReadPrompts(JsonFields& fields,
                                                              const ServedModel& model) {
  const Json* field = fields.Find("prompt");
  if (field == nullptr) return FieldError("prompt", "no 'prompt' is given");
  const Json& prompt = *field;
  const bool is_list = prompt.is_array() && !prompt.empty();
  const bool is_ids = is_list && prompt[0].is_number();
  const Json prompts = prompt.is_string() || is_ids ? Json::array({prompt}) : prompt;
  if (!is_list && !prompt.is_string()) {
    return FieldError("prompt",
                      absl::StrCat("'prompt' is ", Describe(prompt),
                                   "; expected a string, a list of strings or token ids"));
  }
  if (prompts.size() > kMostPrompts) {
    return FieldError("prompt", absl::StrCat("'prompt' has ", prompts.size(),
                                             " prompts; expected at most ", kMostPrompts));
  }
  std::vector<std::vector<int32_t>> all;
  for (const Json& one : prompts) {
    if (!one.is_string() && !one.is_array()) {
      return FieldError("prompt", absl::StrCat("'prompt' has ", Describe(one),
                                               " in its list; expected strings or token ids"));
    }
    ASSIGN_OR_RETURN(std::vector<int32_t> ids, ReadPrompt(one, model));
    all.push_back(std::move(ids));
  }
  return all;
}

// Text, or OpenAI's list of parts of which all are text.
absl::StatusOr<std::string> ReadContent(const Json& message) {
  const auto found = message.find("content");
  if (found == message.end() || found->is_null()) {
    return FieldError("messages", "a message in 'messages' has no 'content'");
  }
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) {
    return FieldError("messages", absl::StrCat("a message's 'content' is ", Describe(*found),
                                               "; expected a string or a list of text parts"));
  }
  std::string text;
  for (const Json& part : *found) {
    const bool is_text = part.is_object() && part.value("type", Json()) == "text" &&
                         part.contains("text") && part["text"].is_string();
    if (!is_text) {
      return FieldError("messages",
                        "a message's 'content' has a part that is not of type 'text'; no other is "
                        "supported");
    }
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

absl::StatusOr<ChatMessage> ReadMessage(const Json& message) {
  if (!message.is_object()) {
    return FieldError("messages", absl::StrCat("'messages' has ", Describe(message),
                                               "; expected objects with 'role' and 'content'"));
  }
  for (const char* unsupported : {"tool_calls", "function_call", "tool_call_id", "audio"}) {
    const auto found = message.find(unsupported);
    if (found == message.end() || found->is_null() || found->empty()) continue;
    return FieldError("messages", absl::StrCat("'", unsupported,
                                               "' in a message of 'messages' is not supported"));
  }
  const Json role = message.value("role", Json());
  ChatMessage read;
  if (role == "system" || role == "developer") {
    read.role = "system";
  } else if (role == "user" || role == "assistant") {
    read.role = role.get<std::string>();
  } else {
    return FieldError("messages", absl::StrCat("a message's 'role' is ", Describe(role),
                                               "; expected system, developer, user or assistant"));
  }
  ASSIGN_OR_RETURN(read.content, ReadContent(message));
  return read;
}

absl::StatusOr<std::vector<int32_t>> ReadConversation(JsonFields& fields,
                                                      const ServedModel& model) {
  const Json* messages = fields.Find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    return FieldError("messages", messages == nullptr
                                      ? std::string("no 'messages' are given")
                                      : absl::StrCat("'messages' is ", Describe(*messages),
                                                     "; expected a list of at least one message"));
  }
  RETURN_IF_ERROR(model.chat.status());
  std::vector<ChatMessage> conversation;
  for (const Json& message : *messages) {
    ASSIGN_OR_RETURN(ChatMessage read, ReadMessage(message));
    conversation.push_back(std::move(read));
  }
  absl::StatusOr<std::vector<int32_t>> ids = model.chat->Encode(conversation);
  if (!ids.ok()) return FieldError("messages", ids.status().message());
  return ids;
}

// --- How to answer ---

absl::Status ReadSampling(JsonFields& fields, const AnswerDefaults& defaults,
                          SamplingParams* params) {
  *params = defaults.sampling;
  if (!defaults.seed_given) params->seed = std::random_device()();
  RETURN_IF_ERROR(fields.Get("temperature", 0, kMostTemperature, &params->temperature));
  RETURN_IF_ERROR(fields.Get("top_p", 0, 1, &params->top_p));
  RETURN_IF_ERROR(fields.Get("top_k", -1, kMostInt32, &params->top_k));
  RETURN_IF_ERROR(fields.Get("min_p", 0, 1, &params->min_p));
  RETURN_IF_ERROR(
      fields.Get("presence_penalty", -kMostPenalty, kMostPenalty, &params->presence_penalty));
  RETURN_IF_ERROR(
      fields.Get("frequency_penalty", -kMostPenalty, kMostPenalty, &params->frequency_penalty));
  RETURN_IF_ERROR(
      fields.Get("repeat_penalty", kLeastRepeatPenalty, kMostPenalty, &params->repeat_penalty));
  RETURN_IF_ERROR(fields.Get("repeat_last_n", -1, kMostInt32, &params->repeat_last_n));
  int64_t seed = -1;
  RETURN_IF_ERROR(fields.Get("seed", kLeastInt64, kMostInt64, &seed));
  // llama.cpp's word for any seed; OpenAI has all others.
  if (seed != -1) params->seed = static_cast<uint64_t>(seed);
  return ValidateSamplingParams(*params);
}

absl::Status ReadBiasPair(const std::string& token, const Json& bias, const ServedModel& model,
                          std::vector<std::pair<int32_t, float>>* biases) {
  int32_t id = -1;
  const bool is_id = absl::SimpleAtoi(token, &id) && id >= 0 && id < model.vocabulary_size;
  // llama.cpp's way to forbid a token.
  const bool forbids = bias == false;
  const double value = bias.is_number() ? bias.get<double>() : kMostBias + 1;
  if (!is_id || (!forbids && !(value >= -kMostBias && value <= kMostBias))) {
    return FieldError("logit_bias",
                      absl::StrCat("'logit_bias' gives token ", Shortened(token), " the bias ",
                                   Describe(bias), "; expected ids 0 to ",
                                   model.vocabulary_size - 1, " with numbers, as {\"42\": -100}"));
  }
  biases->emplace_back(
      id, forbids ? -std::numeric_limits<float>::infinity() : static_cast<float>(value));
  return absl::OkStatus();
}

absl::Status ReadLogitBias(JsonFields& fields, const ServedModel& model,
                           std::vector<std::pair<int32_t, float>>* biases) {
  *biases = model.defaults.logit_bias;
  const Json* field = fields.Find("logit_bias");
  if (field == nullptr) return absl::OkStatus();
  if (!(field->is_object() || field->is_array()) || field->size() > kMostBiases) {
    return FieldError("logit_bias", absl::StrCat("'logit_bias' is ", Describe(*field),
                                                 "; expected an object of at most ", kMostBiases,
                                                 " token ids with numbers"));
  }
  if (field->is_object()) {
    for (const auto& [token, bias] : field->items()) {
      RETURN_IF_ERROR(ReadBiasPair(token, bias, model, biases));
    }
    return absl::OkStatus();
  }
  // llama.cpp's form.
  for (const Json& pair : *field) {
    const bool is_pair = pair.is_array() && pair.size() == 2;
    RETURN_IF_ERROR(ReadBiasPair(Describe(is_pair ? pair[0] : pair), is_pair ? pair[1] : Json(),
                                 model, biases));
  }
  return absl::OkStatus();
}

absl::Status ReadStop(JsonFields& fields, const AnswerDefaults& defaults,
                      std::vector<std::string>* stop) {
  *stop = defaults.stop;
  const Json* field = fields.Find("stop");
  if (field == nullptr) return absl::OkStatus();
  const Json list = field->is_string() ? Json::array({*field}) : *field;
  if (!list.is_array() || list.size() > kMostStops) {
    return FieldError("stop",
                      absl::StrCat("'stop' is ", Describe(*field),
                                   "; expected a string or a list of at most ", kMostStops));
  }
  for (const Json& text : list) {
    if (!text.is_string() || text.get_ref<const std::string&>().size() > kMostStopBytes) {
      return FieldError(
          "stop", absl::StrCat("'stop' has ", Describe(text), "; expected strings of at most ",
                               kMostStopBytes, " bytes"));
    }
    stop->push_back(text.get<std::string>());
  }
  return absl::OkStatus();
}

// max_completion_tokens is the newer name, n_predict llama.cpp's.
absl::Status ReadMaxTokens(JsonFields& fields, int32_t* max_tokens) {
  RETURN_IF_ERROR(fields.Get("n_predict", -1, kMostInt32, max_tokens));
  RETURN_IF_ERROR(fields.Get("max_tokens", -1, kMostInt32, max_tokens));
  return fields.Get("max_completion_tokens", -1, kMostInt32, max_tokens);
}

absl::Status ReadStreaming(JsonFields& fields, GenerationCall* call) {
  RETURN_IF_ERROR(fields.Get("stream", &call->stream));
  const Json* options = fields.Find("stream_options");
  if (options == nullptr) return absl::OkStatus();
  if (!options->is_object() || !call->stream) {
    return FieldError("stream_options", "'stream_options' goes with 'stream': true, as an object");
  }
  JsonFields inner(*options);
  inner.Ignore({"include_obfuscation"});
  RETURN_IF_ERROR(inner.Get("include_usage", &call->include_usage));
  return inner.CheckAllKnown();
}

// A field that is not served, and what it has where it asks for nothing, besides null, false and
// what is empty.
struct Unserved {
  const char* name;
  Json neutral = nullptr;
};

// It is named, whatever else is asked for. Neutral values are OpenAI's and llama.cpp's defaults.
absl::Status RefuseUnserved(JsonFields& fields) {
  static const auto& kUnserved = *new std::vector<Unserved>{
      {"response_format", {{"type", "text"}}},
      {"tools"},
      {"tool_choice", "none"},
      {"functions"},
      {"function_call", "none"},
      {"modalities", {"text"}},
      {"audio"},
      {"prediction"},
      {"web_search_options"},
      {"reasoning_effort", "none"},
      {"best_of", 1},
      {"echo"},
      {"suffix"},
      {"add_generation_prompt", true},
      {"continue_final_message"},
      {"chat_template_kwargs"},
      {"grammar"},
      {"json_schema"},
      {"samplers"},
      {"mirostat", 0},
      {"typical_p", 1},
      {"typ_p", 1},
      {"xtc_probability", 0},
      {"dry_multiplier", 0},
      {"dynatemp_range", 0},
      {"repetition_penalty", 1},
      {"n_probs", 0},
      {"n_keep", 0},
      {"id_slot", -1},
      {"timings_per_token"},
      {"min_tokens", 0},
      {"stop_token_ids"},
      {"lora"},
  };
  for (const Unserved& field : kUnserved) {
    RETURN_IF_ERROR(fields.Refuse(field.name, field.neutral));
  }
  return absl::OkStatus();
}

// All but the prompt and the log-probabilities: the same for every prompt.
absl::StatusOr<Request> ReadCommon(JsonFields& fields, const ServedModel& model,
                                   GenerationCall* call) {
  const AnswerDefaults& defaults = model.defaults;
  Request request;
  RETURN_IF_ERROR(RefuseUnserved(fields));
  RETURN_IF_ERROR(ReadSampling(fields, defaults, &request.sampling));
  RETURN_IF_ERROR(ReadLogitBias(fields, model, &request.logit_bias));
  RETURN_IF_ERROR(ReadStop(fields, defaults, &call->stop));
  request.max_tokens = defaults.max_tokens;
  RETURN_IF_ERROR(ReadMaxTokens(fields, &request.max_tokens));
  RETURN_IF_ERROR(fields.Get("n", 1, kMostChoices, &request.choice_count));
  RETURN_IF_ERROR(fields.Get("cache_prompt", &request.cache_prompt));
  bool ignore_eos = defaults.ignore_eos;
  RETURN_IF_ERROR(fields.Get("ignore_eos", &ignore_eos));
  if (!ignore_eos) {
    request.is_end = [tokenizer = model.tokenizer](int32_t id) {
      return tokenizer->IsEndOfGeneration(id);
    };
  }
  RETURN_IF_ERROR(ReadStreaming(fields, call));
  request.speculation = defaults.speculation;
  request.timeout_ms = defaults.timeout_ms;
  fields.Ignore({"model", "user", "metadata", "store", "service_tier", "safety_identifier",
                 "prompt_cache_key", "parallel_tool_calls"});
  return request;
}

absl::Status CheckFits(const std::vector<int32_t>& prompt, const ServedModel& model) {
  if (prompt.empty()) {
    return FieldError("prompt", "the prompt has no tokens, and the model begins no text by itself");
  }
  const int64_t count = static_cast<int64_t>(prompt.size());
  return count <= model.context_length ? absl::OkStatus()
                                       : ContextError(count, model.context_length);
}

absl::StatusOr<GenerationCall> Finish(GenerationCall call, Request request,
                                      std::vector<std::vector<int32_t>> prompts,
                                      const ServedModel& model) {
  for (std::vector<int32_t>& prompt : prompts) {
    RETURN_IF_ERROR(CheckFits(prompt, model));
    request.prompt = std::move(prompt);
    call.requests.push_back(request);
  }
  return call;
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> ReadIds(const std::string& name, const Json& list,
                                             const ServedModel& model) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& item : list) {
    const int64_t id = item.is_number_integer() ? item.get<int64_t>() : -1;
    if (id < 0 || id >= model.vocabulary_size) {
      return FieldError(name, absl::StrCat("'", name, "' has ", Describe(item),
                                           " among its token ids; the vocabulary has ids 0 to ",
                                           model.vocabulary_size - 1));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

absl::StatusOr<GenerationCall> ReadChatCall(const Json& body, const ServedModel& model) {
  JsonFields fields(body);
  GenerationCall call;
  call.kind = CallKind::kChat;
  ASSIGN_OR_RETURN(Request request, ReadCommon(fields, model, &call));
  RETURN_IF_ERROR(fields.Get("logprobs", &call.logprobs));
  int32_t top_logprobs = 0;
  RETURN_IF_ERROR(fields.Get("top_logprobs", 0, kMostTopLogprobs, &top_logprobs));
  if (top_logprobs > 0 && !call.logprobs) {
    return FieldError("top_logprobs", "'top_logprobs' goes with 'logprobs': true");
  }
  if (call.logprobs) request.top_logprobs = top_logprobs;
  ASSIGN_OR_RETURN(std::vector<int32_t> prompt, ReadConversation(fields, model));
  RETURN_IF_ERROR(fields.CheckAllKnown());
  return Finish(std::move(call), std::move(request), {std::move(prompt)}, model);
}

absl::StatusOr<GenerationCall> ReadCompletionCall(const Json& body, const ServedModel& model) {
  JsonFields fields(body);
  GenerationCall call;
  call.kind = CallKind::kCompletion;
  ASSIGN_OR_RETURN(Request request, ReadCommon(fields, model, &call));
  // Here a number, of the likeliest tokens. Clients of conversations send false.
  if (const Json* field = fields.Find("logprobs"); field != nullptr && *field != false) {
    RETURN_IF_ERROR(fields.Get("logprobs", 0, kMostTopLogprobs, &request.top_logprobs));
    call.logprobs = true;
  }
  ASSIGN_OR_RETURN(std::vector<std::vector<int32_t>> prompts, ReadPrompts(fields, model));
  RETURN_IF_ERROR(fields.CheckAllKnown());
  return Finish(std::move(call), std::move(request), std::move(prompts), model);
}

}  // namespace baton
