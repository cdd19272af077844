// Kernels for AVX2 with FMA and F16C.
#ifndef BATON_ENGINE_KERNELS_AVX2_KERNELS_H_
#define BATON_ENGINE_KERNELS_AVX2_KERNELS_H_

#include "engine/kernels/kernels.h"

namespace baton {

// To be called only where CpuSupports(Isa::kAvx2).
const Kernels& Avx2Kernels();

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_AVX2_KERNELS_H_
