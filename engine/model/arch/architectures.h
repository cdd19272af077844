// The architectures that are supported: one function each, in a file of its family.
#ifndef BATON_ENGINE_MODEL_ARCH_ARCHITECTURES_H_
#define BATON_ENGINE_MODEL_ARCH_ARCHITECTURES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/model/arch/spec_reader.h"
#include "engine/model/model_spec.h"

namespace baton {

// Fills everything of the spec but architecture and name, and reads every key and tensor that
// bears on the result: what is left unread is refused where it could change it.
using ReadArchitectureFunction = absl::Status (*)(SpecReader& reader, ModelSpec& spec);

struct Architecture {
  const char* name;  // general.architecture
  ReadArchitectureFunction read;
};

absl::Span<const Architecture> AllArchitectures();
// Null when it is not supported.
const Architecture* FindArchitecture(absl::string_view name);

absl::Status ReadCohere2(SpecReader& reader, ModelSpec& spec);
absl::Status ReadCommandR(SpecReader& reader, ModelSpec& spec);
absl::Status ReadDeepSeek2(SpecReader& reader, ModelSpec& spec);
absl::Status ReadErnie45(SpecReader& reader, ModelSpec& spec);
absl::Status ReadErnie45Moe(SpecReader& reader, ModelSpec& spec);
absl::Status ReadGemma(SpecReader& reader, ModelSpec& spec);
absl::Status ReadGemma2(SpecReader& reader, ModelSpec& spec);
absl::Status ReadGemma3(SpecReader& reader, ModelSpec& spec);
absl::Status ReadGlm4(SpecReader& reader, ModelSpec& spec);
absl::Status ReadGptOss(SpecReader& reader, ModelSpec& spec);
absl::Status ReadGranite(SpecReader& reader, ModelSpec& spec);
absl::Status ReadHunyuanDense(SpecReader& reader, ModelSpec& spec);
absl::Status ReadHunyuanMoe(SpecReader& reader, ModelSpec& spec);
absl::Status ReadLlama(SpecReader& reader, ModelSpec& spec);
absl::Status ReadOlmo2(SpecReader& reader, ModelSpec& spec);
absl::Status ReadPhi3(SpecReader& reader, ModelSpec& spec);
absl::Status ReadQwen2(SpecReader& reader, ModelSpec& spec);
absl::Status ReadQwen2Moe(SpecReader& reader, ModelSpec& spec);
absl::Status ReadQwen3(SpecReader& reader, ModelSpec& spec);
absl::Status ReadQwen3Moe(SpecReader& reader, ModelSpec& spec);
absl::Status ReadSmolLm3(SpecReader& reader, ModelSpec& spec);
absl::Status ReadStableLm(SpecReader& reader, ModelSpec& spec);
absl::Status ReadStarCoder2(SpecReader& reader, ModelSpec& spec);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_ARCH_ARCHITECTURES_H_
