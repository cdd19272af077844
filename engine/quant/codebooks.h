// The codebooks of the IQ and FP4 types: what a few stored bits stand for. They are part of the
// format, published with it by its maintainers (ggml, MIT license).
//
// A grid is a list of vectors of 4 or 8 weights: a block stores only a vector's index. Each weight
// of a vector is in turn one of a few values, so a vector is written here as one number: the lowest
// bits are the code of its first weight.
#ifndef BATON_ENGINE_QUANT_CODEBOOKS_H_
#define BATON_ENGINE_QUANT_CODEBOOKS_H_

#include <cstdint>

namespace baton {

// Eight weights, two bits each: -1, 0, 1. IQ1_S and IQ1_M.
extern const uint16_t kGridIQ1_S[2048];
// Eight magnitudes, two bits each.
extern const uint16_t kGridIQ2_XXS[256];
extern const uint16_t kGridIQ2_XS[512];
extern const uint16_t kGridIQ2_S[1024];
// Four magnitudes, three bits each.
extern const uint16_t kGridIQ3_XXS[256];
extern const uint16_t kGridIQ3_S[512];

// Values by code, as integers: a code is at most four bits, and where a grid gives a magnitude, the
// bit above it is the sign. Unused codes are 0.

// Grid code, then bit 2 for a shift down instead of up: eight times (-1, 0 or 1, plus or minus
// 1/8).
inline constexpr int8_t kValuesIQ1[16] = {-7, 1, 9, 0, -9, -1, 7, 0};
inline constexpr int8_t kValuesIQ2[16] = {8, 25, 43, 0, -8, -25, -43, 0};
inline constexpr int8_t kValuesIQ3_XXS[16] = {4,  12,  20,  28,  36,  44,  52,  62,
                                              -4, -12, -20, -28, -36, -44, -52, -62};
inline constexpr int8_t kValuesIQ3_S[16] = {1,  3,  5,  7,  9,  11,  13,  15,
                                            -1, -3, -5, -7, -9, -11, -13, -15};
// Steps of a bell curve: IQ4_NL and IQ4_XS.
inline constexpr int8_t kValuesIQ4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};
// Twice a float of one sign bit, two exponent bits and one mantissa bit (E2M1): MXFP4 and NVFP4.
inline constexpr int8_t kValuesFP4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
inline constexpr int8_t kValuesQ1_0[16] = {-1, 1};

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_CODEBOOKS_H_
