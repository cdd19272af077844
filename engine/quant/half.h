// IEEE half and bfloat16, in plain integer arithmetic: the same bits on every machine.
#ifndef BATON_ENGINE_QUANT_HALF_H_
#define BATON_ENGINE_QUANT_HALF_H_

#include <cstdint>

namespace baton {

// Exact; denormals and NaN payloads are kept.
float HalfToFloat(uint16_t half);
// Rounds to nearest, ties to even; too large becomes infinity; NaN stays a (quiet) NaN.
// Bit-equal to vcvtps2ph.
uint16_t FloatToHalf(float value);

float BFloat16ToFloat(uint16_t value);
// Rounds as FloatToHalf does.
uint16_t FloatToBFloat16(float value);

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_HALF_H_
