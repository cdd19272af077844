// Any body of a request over HTTP: byte 0 chooses the endpoint, the rest is what a client sends.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/generation_call.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/served_model.h"
#include "engine/base/check.h"
#include "engine/gguf/gguf_file.h"
#include "engine/testing/model_maker.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/memory_file.h"

namespace baton {
namespace {

constexpr int32_t kContext = 256;
// What a person reads of an error, at most: it quotes the request, and must not repeat it.
constexpr size_t kMostMessageBytes = 1000;

struct Model {
  std::unique_ptr<Tokenizer> tokenizer;
  ServedModel served;
};

const Model& TheModel() {
  static const Model& model = *[] {
    ModelOptions options;
    options.chat_template =
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
        "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\n' }}{% endif %}";
    const MemoryFile memory("", 0);
    CHECK(WriteModel(options, memory.path()).ok());
    const auto file = GgufFile::Read(memory.path());
    CHECK(file.ok());
    auto* made = new Model;
    made->tokenizer = Tokenizer::Create(*file).value();
    made->served.id = "tiny";
    made->served.context_length = kContext;
    made->served.vocabulary_size = made->tokenizer->vocabulary_size();
    made->served.tokenizer = made->tokenizer.get();
    made->served.chat = ChatEncoder::Create(*file, *made->tokenizer, std::nullopt);
    CHECK(made->served.chat.ok());
    return made;
  }();
  return model;
}

void CheckCall(const absl::StatusOr<GenerationCall>& call) {
  if (!call.ok()) {
    CHECK(absl::IsInvalidArgument(call.status()));
    CHECK(call.status().message().size() <= kMostMessageBytes);
    CHECK(nlohmann::json::accept(ErrorResponse(call.status()).body));
    return;
  }
  CHECK(!call->requests.empty());
  for (const Request& request : call->requests) {
    CHECK(!request.prompt.empty() && request.prompt.size() <= kContext);
    for (const int32_t id : request.prompt)
      CHECK(id >= 0 && id < TheModel().served.vocabulary_size);
    CHECK(ValidateSamplingParams(request.sampling).ok());
    CHECK(request.choice_count >= 1);
  }
}

void Read(uint8_t endpoint, const std::string& body) {
  const absl::StatusOr<nlohmann::json> json = ParseObject(body);
  if (!json.ok()) {
    CHECK(absl::IsInvalidArgument(json.status()));
    CHECK(nlohmann::json::accept(ErrorResponse(json.status()).body));
    return;
  }
  CheckCall(endpoint % 2 == 0 ? ReadChatCall(*json, TheModel().served)
                              : ReadCompletionCall(*json, TheModel().served));
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  constexpr const char* kBodies[] = {
      R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
          "temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "n": 2, "seed": 7,
          "max_tokens": 3, "stream": true, "stream_options": {"include_usage": true}})",
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
          "logprobs": true, "top_logprobs": 3, "stop": ["a", "\ud83d\ude00"],
          "logit_bias": {"5": -100, "6": 1.5}, "max_completion_tokens": 4})",
      R"({"messages": [{"role": "developer", "content": "x"}, {"role": "assistant",
          "content": null, "tool_calls": []}], "tools": [], "response_format": {"type": "text"}})",
      R"({"prompt": ["a", "b"], "logprobs": 2, "echo": false, "best_of": 1, "stop": "x"})",
      R"({"prompt": [5, 6, 7], "presence_penalty": -1, "frequency_penalty": 2,
          "repeat_penalty": 1.1, "repeat_last_n": -1, "ignore_eos": true, "n_predict": -1})",
      R"({"prompt": [[5], [6]], "logit_bias": [[5, false], [6, -1e3]], "cache_prompt": false})",
      R"({"prompt": "", "user": {"a": [[[[1]]]]}, "seed": -9223372036854775808, "n_probs": 0})",
      R"({"prompt": 1e308, "temperature": -1, "unknown": null})",
  };
  std::vector<std::string> seeds;
  for (const char* body : kBodies) {
    for (const char endpoint : {'\0', '\1'}) seeds.push_back(std::string(1, endpoint) + body);
  }
  seeds.push_back(absl::StrCat("\1{\"prompt\": \"a\", \"logit_bias\": [", std::string(500, '['),
                               std::string(500, ']'), ", 1]}"));
  return seeds;
}

}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  baton::Read(data[0], std::string(reinterpret_cast<const char*>(data + 1), size - 1));
  return 0;
}
