// Kernels for AVX-512 F, BW, DQ, VL and VNNI.
#ifndef BATON_ENGINE_KERNELS_AVX512_KERNELS_H_
#define BATON_ENGINE_KERNELS_AVX512_KERNELS_H_

#include "engine/kernels/kernels.h"

namespace baton {

// To be called only where CpuSupports(Isa::kAvx512).
const Kernels& Avx512Kernels();

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_AVX512_KERNELS_H_
