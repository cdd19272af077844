// exp, tanh and sigmoid in single precision as the numeric contract defines them: plain operations
// and fused multiply-add in one order, so that every instruction set gives the same bits.
//
// exp(x) = 2^n exp(r) with n = round(x / ln 2) and r = x - n ln 2 in [-ln 2 / 2, ln 2 / 2], where
// ln 2 is split in two floats so that n ln 2 loses nothing; exp(r) by its Taylor polynomial of
// degree 7, evaluated from the highest coefficient. The error is under 1.5 units in the last place.
// Outside [kLowest, kHighest] the result is 0 or infinity, before exp itself gets there. NaN gives
// NaN.
//
// tanh(x) = (1 - e) / (1 + e) with e = exp(-2 |x|), and the sign of x. The error is under 1.2e-7,
// not relative to the result: soft caps, which it is for, multiply it by a constant. -0 gives 0,
// NaN gives NaN.
//
// sigmoid(x) = 1 / (1 + exp(-x)).
#ifndef BATON_ENGINE_KERNELS_EXP_H_
#define BATON_ENGINE_KERNELS_EXP_H_

#include <bit>
#include <cmath>
#include <cstdint>

namespace baton {

namespace exp_constants {
inline constexpr float kLowest = -87.0f;  // exp of anything below is taken for 0
inline constexpr float kHighest = 88.3f;  // exp of anything above is taken for infinity
inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2High = 0.693145752f;
inline constexpr float kLn2Low = 1.42860677e-6f;
inline constexpr float kCoefficients[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24,
                                          1.0f / 6,    1.0f / 2,   1.0f,       1.0f};
// Adding and subtracting it rounds a float of magnitude under 2^22 to an integer, ties to even.
inline constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
}  // namespace exp_constants

inline float ExpFloat(float x) {
  using namespace exp_constants;
  if (x < kLowest) return 0.0f;
  if (x > kHighest) return std::bit_cast<float>(0x7f800000u);
  if (x != x) return x;
  const float shifted = std::fma(x, kLog2E, kRound);
  const float n = shifted - kRound;
  float r = std::fma(-n, kLn2High, x);
  r = std::fma(-n, kLn2Low, r);
  float p = kCoefficients[0];
  for (int i = 1; i < 8; ++i) p = std::fma(p, r, kCoefficients[i]);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p) +
                              (static_cast<uint32_t>(static_cast<int32_t>(n)) << 23));
}

inline float TanhFloat(float x) {
  const float e = ExpFloat(2 * (x < 0 ? x : -x));
  const float tanh = (1 - e) / (1 + e);
  return x < 0 ? -tanh : tanh;
}

inline float SigmoidFloat(float x) { return 1.0f / (1.0f + ExpFloat(-x)); }

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_EXP_H_
