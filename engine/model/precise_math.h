// Sine, cosine, exponential and logarithm in double, by plain IEEE operations: the same bits on
// every machine, which a system's mathematics library does not promise.
//
// For what is computed once and rounded to float, as the angles of rope; within 2 ulp of the true
// value over the domains below, and not made for speed.
#ifndef BATON_ENGINE_MODEL_PRECISE_MATH_H_
#define BATON_ENGINE_MODEL_PRECISE_MATH_H_

namespace baton {

// Largest |x| that SinCos reduces exactly: 2^24 quarter turns.
inline constexpr double kMaxAngle = 16777216.0 * 1.5;

struct SineCosine {
  double sine;
  double cosine;
};
// |x| <= kMaxAngle.
SineCosine PreciseSinCos(double x);

// |x| <= 700, where neither overflow nor denormals are near.
double PreciseExp(double x);

// x > 0, normal and finite.
double PreciseLog(double x);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_PRECISE_MATH_H_
