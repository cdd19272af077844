#include "coordinator/api/answer_format.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/api/api_error.h"
#include "engine/tokenizer/utf8.h"

namespace baton {
namespace {

using Json = nlohmann::ordered_json;

// What OpenAI gives where there is no finite one: JSON has no infinity.
constexpr float kLeastLogprob = -9999.0f;

constexpr char kWholeChat[] = "chat.completion";
constexpr char kChatChunk[] = "chat.completion.chunk";
constexpr char kCompletion[] = "text_completion";  // whole or a chunk

// Text of models need not be UTF-8; JSON is.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Event(const Json& json) { return absl::StrCat("data: ", Dump(json), "\n\n"); }

std::string NewId(CallKind kind) {
  static thread_local std::mt19937_64 random{std::random_device()()};
  return absl::StrFormat("%s-%016x%016x", kind == CallKind::kChat ? "chatcmpl" : "cmpl", random(),
                         random());
}

int64_t SecondsSince1970() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

double PerSecond(int64_t count, double milliseconds) {
  return milliseconds > 0 ? static_cast<double>(count) * 1000.0 / milliseconds : 0;
}

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.generated_tokens},
          {"total_tokens", usage.prompt_tokens + usage.generated_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

// llama.cpp's, for people who look at speeds.
Json TimingsJson(const Usage& usage) {
  const int64_t evaluated = usage.prompt_tokens - usage.cached_tokens;
  const double prompt_ms = std::max(0.0, usage.first_token_ms - usage.queue_ms);
  const double predicted_ms = usage.first_token_ms > 0 ? usage.total_ms - usage.first_token_ms : 0;
  return {{"cache_n", usage.cached_tokens},
          {"prompt_n", evaluated},
          {"prompt_ms", prompt_ms},
          {"prompt_per_second", PerSecond(evaluated, prompt_ms)},
          {"predicted_n", usage.generated_tokens},
          {"predicted_ms", predicted_ms},
          {"predicted_per_second", PerSecond(usage.generated_tokens, predicted_ms)},
          {"draft_n", usage.drafted_tokens},
          {"draft_n_accepted", usage.accepted_tokens},
          {"queue_ms", usage.queue_ms}};
}

}  // namespace

const char* FinishReasonName(FinishReason reason) {
  return reason == FinishReason::kStop ? "stop" : "length";
}

AnswerFormat::AnswerFormat(const GenerationCall& call, const ServedModel& model)
    : kind_(call.kind),
      logprobs_(call.logprobs),
      include_usage_(call.include_usage),
      model_(model),
      id_(NewId(call.kind)),
      created_s_(SecondsSince1970()),
      chunk_head_(ChunkHead()) {}

std::string AnswerFormat::ChunkHead() const {
  std::string head = Dump(Head(kind_ == CallKind::kChat ? kChatChunk : kCompletion));
  head.pop_back();  // the brace, for what differs from chunk to chunk
  return head + ",\"choices\":";
}

Json AnswerFormat::Head(const char* object) const {
  return {{"id", id_},
          {"object", object},
          {"created", created_s_},
          {"model", model_.id},
          {"system_fingerprint", "baton"}};
}

Json AnswerFormat::TokenJson(int32_t id, float logprob) const {
  const std::string text = model_.tokenizer->Piece(id, /*render_special=*/true);
  Json bytes = Json::array();
  for (const char byte : text) bytes.push_back(static_cast<uint8_t>(byte));
  return {{"id", id},
          {"token", text},
          {"logprob", std::max(logprob, kLeastLogprob)},
          {"bytes", std::move(bytes)}};
}

Json AnswerFormat::ChatLogprobs(const AnswerPiece& piece) const {
  Json content = Json::array();
  for (const SampleResult& sample : piece.samples) {
    Json token = TokenJson(sample.token, sample.logprob);
    token["top_logprobs"] = Json::array();
    for (const auto& [id, logprob] : sample.top_logprobs) {
      token["top_logprobs"].push_back(TokenJson(id, logprob));
    }
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}};
}

// OpenAI's way to write a token that is not text by itself.
std::string AnswerFormat::TokenText(int32_t id) const {
  const std::string text = model_.tokenizer->Piece(id, /*render_special=*/true);
  if (IsUtf8(text)) return text;
  std::string bytes = "bytes:";
  for (const char byte : text) {
    absl::StrAppendFormat(&bytes, "\\x%02x", static_cast<uint8_t>(byte));
  }
  return bytes;
}

// The chosen token is always among the likeliest.
Json AnswerFormat::CompletionLogprobs(const AnswerPiece& piece) const {
  Json tokens = Json::array();
  Json logprobs = Json::array();
  Json tops = Json::array();
  Json offsets = Json::array();
  int64_t offset = piece.text_offset;
  for (const SampleResult& sample : piece.samples) {
    Json top = Json::object();
    for (const auto& [id, logprob] : sample.top_logprobs) {
      top[TokenText(id)] = std::max(logprob, kLeastLogprob);
    }
    const std::string chosen = TokenText(sample.token);
    top[chosen] = std::max(sample.logprob, kLeastLogprob);
    tokens.push_back(chosen);
    logprobs.push_back(std::max(sample.logprob, kLeastLogprob));
    tops.push_back(std::move(top));
    offsets.push_back(offset);
    offset += static_cast<int64_t>(
        CountUtf8Beginnings(model_.tokenizer->Piece(sample.token, /*render_special=*/true)));
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

// `chat_field`: "message" or "delta".
Json AnswerFormat::Choice(const AnswerPiece& piece, const char* chat_field) const {
  Json choice = {{"index", piece.choice}};
  if (kind_ == CallKind::kCompletion) {
    choice["text"] = piece.text;
  } else {
    Json said = Json::object();
    if (std::string(chat_field) == "message") said["role"] = "assistant";
    // The field that DeepSeek gave to thoughts, and others since.
    if (!piece.thought.empty()) said["reasoning_content"] = piece.thought;
    // The last chunk has nothing to say.
    if (said.contains("role") || !piece.text.empty()) said["content"] = piece.text;
    choice[chat_field] = std::move(said);
  }
  choice["logprobs"] = nullptr;
  if (logprobs_ && !piece.samples.empty()) {
    choice["logprobs"] = kind_ == CallKind::kChat ? ChatLogprobs(piece) : CompletionLogprobs(piece);
  }
  choice["finish_reason"] = nullptr;
  if (piece.finish.has_value()) choice["finish_reason"] = FinishReasonName(*piece.finish);
  return choice;
}

std::string AnswerFormat::ChunkEvent(const Json& choices) const {
  return absl::StrCat("data: ", chunk_head_, Dump(choices), include_usage_ ? ",\"usage\":null" : "",
                      "}\n\n");
}

std::string AnswerFormat::Opening(int choice) const {
  if (kind_ == CallKind::kCompletion) return "";
  return ChunkEvent(Json::array({{{"index", choice},
                                  {"delta", {{"role", "assistant"}, {"content", nullptr}}},
                                  {"logprobs", nullptr},
                                  {"finish_reason", nullptr}}}));
}

std::string AnswerFormat::Chunk(const AnswerPiece& piece) const {
  return ChunkEvent(Json::array({Choice(piece, "delta")}));
}

std::string AnswerFormat::UsageChunk(const Usage& usage) const {
  Json chunk = Head(kind_ == CallKind::kChat ? kChatChunk : kCompletion);
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(usage);
  chunk["timings"] = TimingsJson(usage);
  return Event(chunk);
}

std::string AnswerFormat::Done() { return "data: [DONE]\n\n"; }

std::string AnswerFormat::ErrorEvent(const absl::Status& error) { return Event(ErrorJson(error)); }

std::string AnswerFormat::Whole(const std::vector<AnswerPiece>& choices, const Usage& usage) const {
  Json whole = Head(kind_ == CallKind::kChat ? kWholeChat : kCompletion);
  whole["choices"] = Json::array();
  for (const AnswerPiece& choice : choices) whole["choices"].push_back(Choice(choice, "message"));
  whole["usage"] = UsageJson(usage);
  whole["timings"] = TimingsJson(usage);
  return Dump(whole);
}

}  // namespace baton
