// Kernels for AVX2 with FMA and F16C, and for the same with AVX-VNNI.
#ifndef BATON_ENGINE_KERNELS_AVX2_KERNELS_H_
#define BATON_ENGINE_KERNELS_AVX2_KERNELS_H_

#include "engine/kernels/kernels.h"

namespace baton {

// To be called only where CpuSupports(Isa::kAvx2).
const Kernels& Avx2Kernels();
// To be called only where CpuSupports(Isa::kAvxVnni).
const Kernels& AvxVnniKernels();

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_AVX2_KERNELS_H_
