#include "coordinator/api/api_service.h"

#include <atomic>
#include <condition_variable>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "coordinator/scheduler/fake_pipeline.h"
#include "engine/testing/model_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int32_t kContext = 64;
constexpr int32_t kFirstByteToken = 3;  // of model_maker's vocabulary
constexpr int32_t kEndToken = 2;
constexpr char kChatMl[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

// What came of one request.
class TestReply : public HttpReply {
 public:
  void Send(HttpResponse response) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    response_ = std::move(response);
    EndLocked();
  }
  void SendEvents(std::string events) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    events_ += events;
    changed_.notify_all();
  }
  void End() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    EndLocked();
  }
  void OnGone(std::function<void()> gone) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!ended_) gone_ = std::move(gone);
  }

  size_t BytesSent() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return response_.body.size();
  }
  HttpResponse Response() {
    Wait();
    return response_;
  }
  // Without the end mark, which must be there where nothing failed.
  std::vector<json> Events() {
    Wait();
    std::vector<json> events;
    for (absl::string_view event : absl::StrSplit(events_, "\n\n", absl::SkipEmpty())) {
      EXPECT_TRUE(absl::ConsumePrefix(&event, "data: ")) << std::string(event);
      if (event == "[DONE]") continue;
      events.push_back(json::parse(std::string(event)));
    }
    return events;
  }
  bool IsDone() {
    Wait();
    return absl::EndsWith(events_, "data: [DONE]\n\n");
  }
  void AwaitEvents(size_t bytes) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return events_.size() > bytes; });
  }
  bool gone() const override { return gone_before_; }
  void LeaveBeforeItIsRead() { gone_before_ = true; }
  void Leave() {
    std::function<void()> gone;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      gone = std::exchange(gone_, nullptr);
    }
    if (gone) gone();
  }

 private:
  void EndLocked() {
    ended_ = true;
    gone_ = nullptr;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return ended_; });
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  HttpResponse response_;
  std::string events_;
  bool ended_ = false;
  std::atomic<bool> gone_before_{false};
  std::function<void()> gone_;
};

// A model that says what the test wants it to, whatever it is asked.
class ApiServiceTest : public testing::Test {
 protected:
  ApiServiceTest() {
    ModelOptions options;
    options.chat_template = kChatMl;
    const absl::StatusOr<std::string> path = MakeModel(options, testing::TempDir());
    file_.emplace(GgufFile::Read(path.value()).value());
    tokenizer_ = Tokenizer::Create(*file_).value();
    model_.id = "tiny";
    model_.context_length = kContext;
    model_.vocabulary_size = tokenizer_->vocabulary_size();
    model_.tokenizer = tokenizer_.get();
    model_.chat = ChatEncoder::Create(*file_, *tokenizer_, std::nullopt);
    model_.defaults.sampling.temperature = 0;
  }

  // The answer to prompts of `prompt_size` tokens, and an end token behind it.
  void Serve(const std::string& answer, int32_t prompt_size, int queue_limit = kDefaultQueueLimit) {
    const auto language = [answer, prompt_size](absl::Span<const int32_t> tokens, uint64_t) {
      const size_t index = tokens.size() - prompt_size;
      if (index >= answer.size()) return kEndToken;
      return kFirstByteToken + static_cast<uint8_t>(answer[index]);
    };
    pipeline_ = std::make_unique<FakePipeline>(2, language);
    SchedulerOptions options;
    options.kv_block_counts = {64};
    options.context_length = kContext;
    options.vocabulary_size = model_.vocabulary_size;
    options.queue_limit = queue_limit;
    scheduler_ = std::make_unique<Scheduler>(*pipeline_, std::move(options));
    service_.SetReady(model_, *scheduler_);
  }
  // The same, for a conversation of one short question.
  void ServeChat(const std::string& answer) {
    Serve(answer, static_cast<int32_t>(model_.chat->Encode({{"user", "hi"}}).value().size()));
  }

  std::shared_ptr<TestReply> Ask(const std::string& method, const std::string& path,
                                 const std::string& body = "") {
    auto reply = std::make_shared<TestReply>();
    service_.Handle({method, path, body}, reply);
    return reply;
  }
  std::shared_ptr<TestReply> Chat(json fields = json::object()) {
    fields["messages"] = {{{"role", "user"}, {"content", "hi"}}};
    return Ask("POST", "/v1/chat/completions", fields.dump());
  }
  // A prompt of four tokens.
  std::shared_ptr<TestReply> Complete(json fields = json::object()) {
    if (!fields.contains("prompt")) fields["prompt"] = {70, 71, 72, 73};
    return Ask("POST", "/v1/completions", fields.dump());
  }
  json BodyOf(const std::shared_ptr<TestReply>& reply, int status = 200) {
    const HttpResponse response = reply->Response();
    EXPECT_EQ(response.status, status) << response.body;
    return json::parse(response.body);
  }
  std::string ErrorOf(const std::shared_ptr<TestReply>& reply, int status = 400) {
    return BodyOf(reply, status)["error"]["message"].get<std::string>();
  }

  std::optional<GgufFile> file_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ServedModel model_;
  absl::Status failure_;
  ApiService service_{[this](const absl::Status& status) { failure_ = status; }};
  std::unique_ptr<FakePipeline> pipeline_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(ApiServiceTest, HealthTellsTheTruth) {
  service_.SetProgress(0.25);
  json health = BodyOf(Ask("GET", "/health"), 503);
  EXPECT_EQ(health["status"], "loading");
  EXPECT_EQ(health["progress"], 0.25);
  EXPECT_THAT(ErrorOf(Chat(), 503), HasSubstr("25%"));
  ServeChat("x");
  EXPECT_EQ(BodyOf(Ask("GET", "/health"))["status"], "ok");
  service_.SetEnding(absl::UnavailableError("worker 1 is lost"));
  health = BodyOf(Ask("GET", "/health"), 503);
  EXPECT_EQ(health["status"], "ending");
  EXPECT_EQ(health["error"]["message"], "worker 1 is lost");
  EXPECT_EQ(ErrorOf(Chat(), 503), "worker 1 is lost");
}

TEST_F(ApiServiceTest, AnswersAWholeConversation) {
  ServeChat("good day");
  const json answer = BodyOf(Chat());
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], "tiny");
  const json choice = answer["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], "good day");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 8);
  EXPECT_EQ(answer["usage"]["total_tokens"], answer["usage"]["prompt_tokens"].get<int>() + 8);
}

TEST_F(ApiServiceTest, StreamsAConversation) {
  ServeChat("h\xc3\xa9!");
  const auto reply = Chat({{"stream", true}, {"stream_options", {{"include_usage", true}}}});
  const std::vector<json> events = reply->Events();
  ASSERT_EQ(events.size(), 6u);  // role, three characters, finish, usage
  EXPECT_TRUE(reply->IsDone());
  EXPECT_EQ(events[0]["choices"][0]["delta"], json({{"role", "assistant"}, {"content", nullptr}}));
  EXPECT_EQ(events[1]["choices"][0]["delta"], json({{"content", "h"}}));
  EXPECT_EQ(events[2]["choices"][0]["delta"], json({{"content", "\xc3\xa9"}}));
  EXPECT_EQ(events[4]["choices"][0]["delta"], json::object());
  EXPECT_EQ(events[4]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[5]["choices"], json::array());
  EXPECT_EQ(events[5]["usage"]["completion_tokens"], 4);
  for (const json& event : events) {
    EXPECT_EQ(event["object"], "chat.completion.chunk");
    EXPECT_EQ(event["id"], events[0]["id"]);
  }
}

TEST_F(ApiServiceTest, ThoughtsAreApartFromWhatIsSaid) {
  model_.chat = ChatEncoder::Create(*file_, *tokenizer_, "deepseek-r1");
  ServeChat("hm\n</think>\n\nyes");
  const json message = BodyOf(Chat())["choices"][0]["message"];
  EXPECT_EQ(message["reasoning_content"], "hm");
  EXPECT_EQ(message["content"], "yes");
  std::string thought, said;
  for (const json& event : Chat({{"stream", true}})->Events()) {
    const json delta = event["choices"][0]["delta"];
    thought += delta.value("reasoning_content", "");
    if (delta.contains("content") && delta["content"].is_string()) {
      said += delta["content"].get<std::string>();
    }
  }
  EXPECT_EQ(thought, "hm");
  EXPECT_EQ(said, "yes");
}

TEST_F(ApiServiceTest, AStopStringIsNeverSaid) {
  Serve("one STOP two", 4);
  const json whole = BodyOf(Complete({{"stop", "STOP"}}));
  EXPECT_EQ(whole["choices"][0]["text"], "one ");
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "stop");
  std::string text;
  for (const json& event : Complete({{"stop", {"TOP", "x"}}, {"stream", true}})->Events()) {
    text += event["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(text, "one S");
}

TEST_F(ApiServiceTest, EndsWhereItIsToldTo) {
  Serve(std::string(100, 'a'), 4);
  for (const char* name : {"max_tokens", "max_completion_tokens", "n_predict"}) {
    const json answer = BodyOf(Complete({{name, 3}}));
    EXPECT_EQ(answer["choices"][0]["text"], "aaa");
    EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  }
  // A full context; the last token is said, and needs no place.
  EXPECT_EQ(BodyOf(Complete())["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(BodyOf(Complete({{"max_tokens", 0}}))["choices"][0]["text"], "");
}

TEST_F(ApiServiceTest, IgnoresTheEndTokenWhereAsked) {
  Serve("ab", 4);
  const json answer = BodyOf(Complete({{"ignore_eos", true}, {"max_tokens", 6}}));
  EXPECT_EQ(answer["usage"]["completion_tokens"], 6);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
}

TEST_F(ApiServiceTest, EachPromptHasItsChoices) {
  Serve("yes", 4);
  const json answer =
      BodyOf(Complete({{"prompt", {{70, 71, 72, 73}, {80, 81, 82, 83}}}, {"n", 2}}));
  ASSERT_EQ(answer["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(answer["choices"][i]["index"], i);
    EXPECT_EQ(answer["choices"][i]["text"], "yes");
  }
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 8);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 12);
}

TEST_F(ApiServiceTest, TellsWhatAPrefixSaved) {
  Serve("yes", kKvBlockTokens + 4);
  const json prompt = std::vector<int>(kKvBlockTokens + 4, 70);
  for (const int cached : {0, kKvBlockTokens}) {
    const json usage = BodyOf(Complete({{"prompt", prompt}}))["usage"];
    EXPECT_EQ(usage["prompt_tokens"], kKvBlockTokens + 4);
    EXPECT_EQ(usage["prompt_tokens_details"]["cached_tokens"], cached);
  }
  const json apart = BodyOf(Complete({{"prompt", prompt}, {"cache_prompt", false}}));
  EXPECT_EQ(apart["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST_F(ApiServiceTest, FieldsThatMakeNoSenseAreNamed) {
  ServeChat("x");
  const std::vector<std::pair<json, std::string>> cases = {
      {{{"temperature", -1}}, "temperature"},
      {{{"top_p", 1.5}}, "top_p"},
      {{{"n", 0}}, "n"},
      {{{"n", 129}}, "n"},
      {{{"max_tokens", "many"}}, "max_tokens"},
      {{{"stop", 7}}, "stop"},
      {{{"stop", std::vector<std::string>(100, "x")}}, "stop"},
      {{{"logit_bias", {{"999999", 1}}}}, "logit_bias"},
      {{{"logit_bias", {{"x", 1}}}}, "logit_bias"},
      {{{"logit_bias", {{"5", "x"}}}}, "logit_bias"},
      {{{"logit_bias", 7}}, "logit_bias"},
      {{{"logit_bias", {{{{{1}}}, 1}}}}, "logit_bias"},
      {{{"repeat_penalty", 0}}, "repeat_penalty"},
      {{{"mirostat", 2}}, "mirostat"},
      {{{"stream", 1}}, "stream"},
      {{{"stream_options", {{"include_usage", true}}}}, "stream_options"},
      {{{"top_logprobs", 3}}, "top_logprobs"},
      {{{"top_logprobs", 21}, {"logprobs", true}}, "top_logprobs"},
      {{{"seed", 1.5}}, "seed"},
      {{{"tools", {{{"type", "function"}}}}}, "tools"},
      {{{"tool_choice", "auto"}}, "tool_choice"},
      {{{"response_format", {{"type", "json_object"}}}}, "response_format"},
      {{{"grammar", "root ::= x"}}, "grammar"},
      {{{"no_such_field", 1}}, "no_such_field"},
  };
  for (const auto& [fields, name] : cases) {
    const json error = BodyOf(Chat(fields), 400)["error"];
    EXPECT_EQ(error["param"], name) << error;
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(name));
    EXPECT_EQ(error["type"], "invalid_request_error");
  }
  // These ask for nothing.
  EXPECT_EQ(Chat({{"tools", json::array()},
                  {"response_format", {{"type", "text"}}},
                  {"tool_choice", "none"},
                  {"mirostat", 0},
                  {"typical_p", 1.0},
                  {"n_probs", 0},
                  {"not_known_yet", nullptr},
                  {"seed", -2},
                  {"user", "me"},
                  {"model", "any"},
                  {"stop", nullptr}})
                ->Response()
                .status,
            200);
}

TEST_F(ApiServiceTest, MessagesThatMakeNoSenseAreNamed) {
  ServeChat("x");
  for (const char* body :
       {R"({})", R"({"messages": []})", R"({"messages": "hi"})", R"({"messages": ["hi"]})",
        R"({"messages": [{"role": "user"}]})", R"({"messages": [{"role": "cat", "content": "x"}]})",
        R"({"messages": [{"role": "user", "content": 7}]})",
        R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})",
        R"({"messages": [{"role": "tool", "content": "x"}]})",
        R"({"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "x"}]}]})"}) {
    const json error = BodyOf(Ask("POST", "/v1/chat/completions", body), 400)["error"];
    EXPECT_EQ(error["param"], "messages") << body;
  }
  EXPECT_EQ(BodyOf(Ask("POST", "/v1/chat/completions",
                       R"({"messages": [{"role": "user",
                          "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}]})"))
                ["choices"][0]["message"]["content"],
            "x");
}

TEST_F(ApiServiceTest, PromptsThatMakeNoSenseAreNamed) {
  Serve("x", 4);
  for (const json& prompt : {json(), json(7), json::array(), json({"a", 7}), json({1, "a"}),
                             json({1, 99999}), json({-1}), json({{1, 2}, 3}), json({1.5})}) {
    const json error = BodyOf(Complete({{"prompt", prompt}}), 400)["error"];
    EXPECT_EQ(error["param"], "prompt") << prompt;
  }
}

TEST_F(ApiServiceTest, APromptThatIsTooLongIsToldWithBothNumbers) {
  Serve("x", 4);
  const json error =
      BodyOf(Complete({{"prompt", std::vector<int>(kContext + 1, 70)}}), 400)["error"];
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["n_prompt_tokens"], kContext + 1);
  EXPECT_EQ(error["n_ctx"], kContext);
}

TEST_F(ApiServiceTest, AModelWithoutATemplateSaysSo) {
  model_.chat = absl::FailedPreconditionError("no template");
  Serve("x", 4);
  EXPECT_EQ(ErrorOf(Chat()), "no template");
  EXPECT_EQ(BodyOf(Complete())["choices"][0]["text"], "x");
}

TEST_F(ApiServiceTest, AFullQueueAsksToComeBack) {
  Serve("x", 4, /*queue_limit=*/0);
  const HttpResponse response = Complete({{"stream", true}})->Response();
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers,
            (std::vector<std::pair<std::string, std::string>>{{"Retry-After", "1"}}));
}

TEST_F(ApiServiceTest, RunningOutOfTimeIsNoAnswer) {
  Serve(std::string(kContext, 'a'), 4);
  model_.defaults.timeout_ms = 1e-6;
  EXPECT_THAT(ErrorOf(Complete(), 504), HasSubstr("--timeout"));
  const auto stream = Complete({{"stream", true}});
  EXPECT_EQ(stream->Events().back()["error"]["type"], "timeout_error");
  EXPECT_FALSE(stream->IsDone());
}

TEST_F(ApiServiceTest, ALongRequestHoldsUpNobody) {
  Serve("x", 4);
  const std::string text(100 << 10, 'a');
  const std::string body = json({{"content", text}}).dump();
  // Its answer comes from another thread; the one that asked is free at once.
  std::vector<std::shared_ptr<TestReply>> replies;
  for (int i = 0; i < 3; ++i) replies.push_back(Ask("POST", "/tokenize", body));
  EXPECT_EQ(BodyOf(Complete())["choices"][0]["text"], "x");
  for (const auto& reply : replies) {
    EXPECT_EQ(BodyOf(reply)["tokens"],
              json(tokenizer_->Encode(text, {.add_special = false, .parse_special = true})));
  }
  // Who has left by the time of its turn is passed over.
  const auto left = std::make_shared<TestReply>();
  left->LeaveBeforeItIsRead();
  service_.Handle({"POST", "/tokenize", body}, left);
  BodyOf(Ask("POST", "/tokenize", body));  // behind it
  EXPECT_EQ(left->BytesSent(), 0u);
  service_.Stop();
}

TEST_F(ApiServiceTest, WhoLeavesCostsNothingMore) {
  Serve(std::string(kContext, 'a'), 4);
  // Every second one leaves in the middle of what it is told, or before.
  for (int i = 0; i < 20; ++i) {
    const auto reply = Complete({{"stream", true}, {"ignore_eos", true}, {"n", 2}});
    if (i % 2 == 0) reply->AwaitEvents(200);
    reply->Leave();
  }
  scheduler_->Drain();
  const SchedulerStats stats = scheduler_->Stats();
  EXPECT_EQ(stats.running_requests, 0);
  EXPECT_EQ(stats.kv_blocks_free + stats.kv_blocks_cached, stats.kv_blocks);
}

TEST_F(ApiServiceTest, AFailureInTheMiddleIsTheLastEvent) {
  Serve(std::string(100, 'a'), 4);
  pipeline_->lost_at = 5;
  const auto reply = Complete({{"stream", true}});
  const std::vector<json> events = reply->Events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back()["error"]["message"], "lost");
  EXPECT_FALSE(reply->IsDone());
  scheduler_ = nullptr;  // its threads have said all
  EXPECT_EQ(failure_.message(), "lost");
}

TEST_F(ApiServiceTest, AResultThatIsNotFiniteFailsItsRequestAlone) {
  Serve("yes", 4);
  pipeline_->poison = 80;
  EXPECT_THAT(ErrorOf(Complete({{"prompt", {80, 81, 82, 83}}}), 500), HasSubstr("not finite"));
  EXPECT_EQ(BodyOf(Complete())["choices"][0]["text"], "yes");
  scheduler_ = nullptr;  // its threads have said all
  EXPECT_TRUE(failure_.ok()) << failure_;
}

TEST_F(ApiServiceTest, LogprobsComeWithTheirText) {
  Serve("ab\xc3\xa9", 4);
  const json chat_like = BodyOf(Complete({{"logprobs", 1}}))["choices"][0]["logprobs"];
  EXPECT_EQ(chat_like["tokens"].size(), 4u);
  EXPECT_EQ(chat_like["text_offset"], json({0, 1, 2, 3}));
  EXPECT_EQ(chat_like["tokens"][3], "bytes:\\xa9");
  EXPECT_EQ(BodyOf(Complete({{"logprobs", 0}}))["choices"][0]["logprobs"]["top_logprobs"][0].size(),
            1u);
  // A character of two tokens comes in one chunk, with both.
  std::vector<size_t> counts;
  for (const json& event : Complete({{"logprobs", 1}, {"stream", true}})->Events()) {
    const json logprobs = event["choices"][0]["logprobs"];
    counts.push_back(logprobs.is_null() ? 0 : logprobs["tokens"].size());
  }
  EXPECT_THAT(counts, ElementsAre(1, 1, 2, 0));
  ServeChat("ab");
  const json content = BodyOf(Chat({{"logprobs", true}}))["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 2u);
  EXPECT_EQ(content[0]["token"], "a");
  EXPECT_EQ(content[0]["bytes"], json({97}));
}

TEST_F(ApiServiceTest, TokenizesAndBack) {
  Serve("x", 4);
  const std::string body = json({{"content", "hello"}}).dump();
  const json tokens = BodyOf(Ask("POST", "/tokenize", body))["tokens"];
  EXPECT_EQ(tokens, json(tokenizer_->Encode("hello", {.add_special = false})));
  EXPECT_EQ(BodyOf(Ask("POST", "/detokenize", json({{"tokens", tokens}}).dump()))["content"],
            "hello");
  const json with_bos = BodyOf(Ask(
      "POST", "/tokenize", json({{"content", "hello"}, {"add_special", true}}).dump()))["tokens"];
  EXPECT_EQ(with_bos, json(tokenizer_->Encode("hello", {.add_special = true})));
  const json pieces = BodyOf(
      Ask("POST", "/tokenize", json({{"content", "h"}, {"with_pieces", true}}).dump()))["tokens"];
  EXPECT_EQ(pieces.back()["id"], tokenizer_->Encode("h", {.add_special = false}).back());
  EXPECT_THAT(ErrorOf(Ask("POST", "/tokenize", "{}")), HasSubstr("content"));
  EXPECT_THAT(ErrorOf(Ask("POST", "/detokenize", R"({"tokens": [99999]})")), HasSubstr("99999"));
}

TEST_F(ApiServiceTest, ListsItsModel) {
  Serve("x", 4);
  const json models = BodyOf(Ask("GET", "/v1/models"));
  EXPECT_EQ(models["data"][0]["id"], "tiny");
  EXPECT_EQ(BodyOf(Ask("GET", "/v1/models/tiny"))["max_model_len"], kContext);
  EXPECT_THAT(ErrorOf(Ask("GET", "/v1/models/huge"), 404), HasSubstr("tiny"));
  model_.id = "of/tiny%";
  EXPECT_EQ(BodyOf(Ask("GET", "/v1/models/of%2Ftiny%25"))["id"], "of/tiny%");
  EXPECT_EQ(BodyOf(Ask("GET", "/v1/models/of/tiny%"))["id"], "of/tiny%");
}

TEST_F(ApiServiceTest, OtherPathsAndMethods) {
  Serve("x", 4);
  EXPECT_THAT(Ask("GET", "/")->Response().body, HasSubstr("/v1/chat/completions"));
  EXPECT_THAT(ErrorOf(Ask("GET", "/nothing"), 404), HasSubstr("/nothing"));
  const HttpResponse wrong = Ask("GET", "/v1/completions")->Response();
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers[0], std::pair(std::string("Allow"), std::string("POST")));
  EXPECT_THAT(ErrorOf(Ask("POST", "/v1/completions", "{")), HasSubstr("JSON"));
}

TEST_F(ApiServiceTest, CountsWhatItDid) {
  Serve("abc", 4);
  EXPECT_THAT(Ask("GET", "/metrics")->Response().body,
              HasSubstr("baton_generation_tokens_total 0\n"));
  BodyOf(Complete());
  Complete({{"n", 0}})->Response();
  scheduler_->Drain();
  const std::string text = Ask("GET", "/metrics")->Response().body;
  for (const char* line : {"baton_http_requests_total{code=\"400\",path=\"/v1/completions\"} 1\n",
                           "baton_generation_tokens_total 3\n", "baton_num_requests_running 0\n",
                           "baton_time_to_first_token_seconds_count 1\n",
                           "baton_inter_token_latency_seconds_count 2\n",
                           "baton_request_success_total{finished_reason=\"stop\"} 1\n",
                           "baton_stage_busy_seconds_total{stage=\"1\"} "}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

}  // namespace
}  // namespace baton
