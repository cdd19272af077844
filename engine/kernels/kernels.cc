#include "engine/kernels/kernels.h"

#include "engine/base/check.h"
#include "engine/kernels/scalar/scalar.h"

namespace baton {

const Kernels& KernelsFor(Isa isa) {
  CHECK(CpuSupports(isa));
  switch (isa) {
    case Isa::kScalar:
      return ScalarKernels();
    default:
      return ScalarKernels();
  }
}

}  // namespace baton
