// What llama.cpp computes with a model, as JSON on stdout. Compiled and run by
// tools/reference_logits; no part of Baton is linked.
//
//   reference_logits MODEL COUNT < PROMPTS
//
// PROMPTS has one prompt per line, as token ids. Of each: COUNT tokens chosen greedily, the
// smallest distance of a choice to the next best, and all logits after the prompt's last token.
// One thread, F32 cache, no flash attention: the plainest order of operations.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "llama.h"

namespace {

struct Result {
  std::vector<llama_token> tokens;
  float margin = 1e30f;
  std::vector<float> logits;
};

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "error: %s\n", message.c_str());
  std::exit(1);
}

Result Run(llama_context* context, std::vector<llama_token> input, int count, int vocabulary) {
  llama_memory_clear(llama_get_memory(context), /*data=*/true);
  Result result;
  while (static_cast<int>(result.tokens.size()) < count) {
    const llama_batch batch = llama_batch_get_one(input.data(), static_cast<int>(input.size()));
    if (llama_decode(context, batch) != 0) Fail("llama_decode");
    const float* row = llama_get_logits_ith(context, -1);
    std::vector<float> logits(row, row + vocabulary);
    const auto best = std::max_element(logits.begin(), logits.end());
    const auto token = static_cast<llama_token>(best - logits.begin());
    if (result.tokens.empty()) result.logits = logits;
    std::nth_element(logits.begin(), logits.begin() + 1, logits.end(), std::greater<float>());
    result.margin = std::min(result.margin, logits[0] - logits[1]);
    result.tokens.push_back(token);
    input = {token};
  }
  return result;
}

void Print(const Result& result, bool is_first) {
  std::printf("%s{\"tokens\":[", is_first ? "" : ",\n");
  for (size_t i = 0; i < result.tokens.size(); ++i) {
    std::printf("%s%d", i == 0 ? "" : ",", result.tokens[i]);
  }
  std::printf("],\"margin\":%.9g,\"logits\":[", result.margin);
  for (size_t i = 0; i < result.logits.size(); ++i) {
    std::printf("%s%.9g", i == 0 ? "" : ",", result.logits[i]);
  }
  std::printf("]}");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) Fail("expected MODEL COUNT");
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) Fail("the model does not load");
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<uint32_t>(llama_model_n_ctx_train(model));
  params.n_threads = params.n_threads_batch = 1;
  params.type_k = params.type_v = GGML_TYPE_F32;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) Fail("no context");
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  bool is_first = true;
  std::printf("[");
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream ids(line);
    std::vector<llama_token> prompt;
    for (llama_token id; ids >> id;) prompt.push_back(id);
    Print(Run(context, prompt, std::atoi(argv[2]), vocabulary), is_first);
    is_first = false;
  }
  std::printf("]\n");
  llama_free(context);
  llama_model_free(model);
}
