#include "engine/model/arch/architectures.h"

namespace baton {
namespace {

constexpr Architecture kArchitectures[] = {
    {"cohere2", ReadCohere2},
    {"command-r", ReadCommandR},
    {"deepseek2", ReadDeepSeek2},
    {"ernie4_5", ReadErnie45},
    {"ernie4_5-moe", ReadErnie45Moe},
    {"gemma", ReadGemma},
    {"gemma2", ReadGemma2},
    {"gemma3", ReadGemma3},
    {"glm4", ReadGlm4},
    {"gpt-oss", ReadGptOss},
    {"granite", ReadGranite},
    {"granitemoe", ReadGranite},
    {"hunyuan-dense", ReadHunyuanDense},
    {"hunyuan-moe", ReadHunyuanMoe},
    {"llama", ReadLlama},
    {"olmo2", ReadOlmo2},
    {"phi3", ReadPhi3},
    {"qwen2", ReadQwen2},
    {"qwen2moe", ReadQwen2Moe},
    {"qwen3", ReadQwen3},
    {"qwen3moe", ReadQwen3Moe},
    {"smollm3", ReadSmolLm3},
    {"stablelm", ReadStableLm},
    {"starcoder2", ReadStarCoder2},
};

}  // namespace

absl::Span<const Architecture> AllArchitectures() { return kArchitectures; }

const Architecture* FindArchitecture(absl::string_view name) {
  for (const Architecture& architecture : kArchitectures) {
    if (name == architecture.name) return &architecture;
  }
  return nullptr;
}

}  // namespace baton
