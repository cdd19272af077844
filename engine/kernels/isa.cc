#include "engine/kernels/isa.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace baton {
namespace {

constexpr Isa kAll[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512};

std::string SupportedNames() {
  std::string names;
  for (Isa isa : kAll) {
    if (CpuSupports(isa)) absl::StrAppend(&names, names.empty() ? "" : ", ", IsaName(isa));
  }
  return names;
}

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

bool CpuSupports(Isa isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
  }
  return false;
#else
  return isa == Isa::kScalar;
#endif
}

Isa BestIsa() {
  Isa best = Isa::kScalar;
  for (Isa isa : kAll) {
    if (CpuSupports(isa)) best = isa;
  }
  return best;
}

absl::StatusOr<Isa> ParseIsa(absl::string_view name) {
  for (Isa isa : kAll) {
    if (name != IsaName(isa)) continue;
    if (CpuSupports(isa)) return isa;
    return absl::FailedPreconditionError(
        absl::StrCat("this CPU has no ", name, "; it can run ", SupportedNames()));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("instruction set '", name, "' is unknown; this CPU can run ", SupportedNames()));
}

}  // namespace baton
