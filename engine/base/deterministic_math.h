// exp, log, sine and cosine that give the same bits on every machine: additions, multiplications
// and divisions of doubles in a fixed order, no libm and no fused operations. Pure functions.
#ifndef BATON_ENGINE_BASE_DETERMINISTIC_MATH_H_
#define BATON_ENGINE_BASE_DETERMINISTIC_MATH_H_

namespace baton {

// e^x, within 1e-15 of the true value, relatively (results below 2^-1022 are subnormal and as exact
// as those can be). NaN gives NaN; above 709.79 +infinity; below -745.14 and -infinity +0.
double Exp(double x);

// The natural logarithm, within 1e-15, relatively. NaN and negative numbers give NaN, +0 and -0
// give -infinity, +infinity gives itself.
double Log(double x);

// Largest |x| that SinCos reduces exactly: 2^24 quarter turns.
inline constexpr double kMaxAngle = 16777216.0 * 1.5;

struct SineCosine {
  double sine;
  double cosine;
};
// Within 4e-16 of the true values. |x| <= kMaxAngle.
SineCosine SinCos(double x);

}  // namespace baton

#endif  // BATON_ENGINE_BASE_DETERMINISTIC_MATH_H_
