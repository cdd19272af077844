#include "engine/kernels/kernels.h"

#include "engine/base/check.h"
#include "engine/kernels/scalar/scalar.h"
#if defined(__x86_64__)
#include "engine/kernels/avx2/kernels.h"
#include "engine/kernels/avx512/kernels.h"
#elif defined(__aarch64__)
#include "engine/kernels/neon/kernels.h"
#endif

namespace baton {

const Kernels& KernelsFor(Isa isa) {
  CHECK(CpuSupports(isa));
#if defined(__x86_64__)
  if (isa == Isa::kAvx2) return Avx2Kernels();
  if (isa == Isa::kAvxVnni) return AvxVnniKernels();
  if (isa == Isa::kAvx512) return Avx512Kernels();
#elif defined(__aarch64__)
  if (isa == Isa::kNeon) return NeonKernels();
#endif
  return ScalarKernels();
}

}  // namespace baton
