// The architectures that are supported: one function each, in a file of its own.
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

absl::Status ReadLlama(SpecReader& reader, ModelSpec& spec);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_ARCH_ARCHITECTURES_H_
