#include "engine/kernels/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include <string>

#include "absl/strings/str_cat.h"

namespace baton {
namespace {

// On one kind of processor, the slower ones first.
constexpr Isa kAll[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kNeon};

std::string SupportedNames() {
  std::string names;
  for (Isa isa : SupportedIsas()) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", IsaName(isa));
  }
  return names;
}

#if defined(__x86_64__)
// __builtin_cpu_supports of clang 14 does not know it.
bool HasAvxVnni() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & bit_AVXVNNI) != 0;
}
#endif

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvxVnni:
      return "avxvnni";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kNeon:
      return "neon";
  }
  return "unknown";
}

bool CpuSupports(Isa isa) {
  if (isa == Isa::kScalar) return true;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  if (isa == Isa::kAvx2) return avx2;
  if (isa == Isa::kAvxVnni) return avx2 && HasAvxVnni();
  if (isa == Isa::kAvx512) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
  }
#elif defined(__aarch64__)
  if (isa == Isa::kNeon) return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
  return false;
}

std::vector<Isa> SupportedIsas() {
  std::vector<Isa> supported;
  for (Isa isa : kAll) {
    if (CpuSupports(isa)) supported.push_back(isa);
  }
  return supported;
}

Isa BestIsa() { return SupportedIsas().back(); }

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
