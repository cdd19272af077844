#include "engine/kernels/kernels.h"

#include "engine/base/check.h"
#include "engine/kernels/scalar/scalar.h"
#if defined(__x86_64__)
#include "engine/kernels/avx2/kernels.h"
#include "engine/kernels/avx512/kernels.h"
#endif

namespace baton {

const Kernels& KernelsFor(Isa isa) {
  CHECK(CpuSupports(isa));
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return Avx2Kernels();
    case Isa::kAvx512:
      return Avx512Kernels();
#else
    case Isa::kAvx2:
    case Isa::kAvx512:
      break;
#endif
    case Isa::kScalar:
      break;
  }
  return ScalarKernels();
}

}  // namespace baton
