// Instruction sets that the kernels are written for. Chosen once at start; every one of them gives
// the same bits, so the choice is speed alone.
#ifndef BATON_ENGINE_KERNELS_ISA_H_
#define BATON_ENGINE_KERNELS_ISA_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

enum class Isa { kScalar, kAvx2, kAvxVnni, kAvx512, kNeon };

const char* IsaName(Isa isa);  // "scalar", "avx2", "avxvnni", "avx512", "neon"
// AVX2 means AVX2, FMA and F16C; AVX-VNNI adds itself to these; AVX-512 means F, BW, DQ, VL and
// VNNI; NEON means ARMv8.2 with dot products.
bool CpuSupports(Isa isa);
// The slowest first: scalar always, the last one is the best.
std::vector<Isa> SupportedIsas();
Isa BestIsa();
// InvalidArgument for an unknown name, FailedPrecondition for one that this CPU lacks; both say
// which names this CPU can run.
absl::StatusOr<Isa> ParseIsa(absl::string_view name);

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_ISA_H_
