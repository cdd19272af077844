#include "engine/model/arch/architectures.h"

namespace baton {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", ReadLlama},
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
