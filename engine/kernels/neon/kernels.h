// Kernels for NEON with dot products (ARMv8.2).
#ifndef BATON_ENGINE_KERNELS_NEON_KERNELS_H_
#define BATON_ENGINE_KERNELS_NEON_KERNELS_H_

#include "engine/kernels/kernels.h"

namespace baton {

// To be called only where CpuSupports(Isa::kNeon).
const Kernels& NeonKernels();

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_NEON_KERNELS_H_
