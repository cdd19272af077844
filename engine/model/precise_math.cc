#include "engine/model/precise_math.h"

#include <bit>
#include <cmath>
#include <cstdint>

#include "engine/base/check.h"

namespace baton {
namespace {

// pi/2 in four parts. The first three have 28 bits, so that their products with a count of quarter
// turns up to 2^24 are exact (Cody and Waite's reduction).
constexpr double kHalfPi1 = 0x1.921fb54000000p+0;
constexpr double kHalfPi2 = 0x1.10b4610000000p-30;
constexpr double kHalfPi3 = 0x1.a626330000000p-58;
constexpr double kHalfPi4 = 0x1.45c06e0e68948p-86;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;

// ln 2 in two parts; the first has 40 bits, so that its product with an exponent is exact.
constexpr double kLn2High = 0x1.62e42fefa2000p-1;
constexpr double kLn2Low = 0x1.9ef35793c7673p-41;
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

// Taylor's series on [-pi/4, pi/4]; the first term left out is below 2^-60.
double SinePolynomial(double x) {
  const double z = x * x;
  double p = -1.0 / 355687428096000.0;  // 17!
  p = p * -z + -1.0 / 1307674368000.0;  // 15!
  p = p * -z + -1.0 / 6227020800.0;     // 13!
  p = p * -z + -1.0 / 39916800.0;       // 11!
  p = p * -z + -1.0 / 362880.0;         // 9!
  p = p * -z + -1.0 / 5040.0;           // 7!
  p = p * -z + -1.0 / 120.0;            // 5!
  p = p * -z + -1.0 / 6.0;              // 3!
  return x + x * z * p;
}

double CosinePolynomial(double x) {
  const double z = x * x;
  double p = 1.0 / 6402373705728000.0;  // 18!
  p = p * -z + 1.0 / 20922789888000.0;  // 16!
  p = p * -z + 1.0 / 87178291200.0;     // 14!
  p = p * -z + 1.0 / 479001600.0;       // 12!
  p = p * -z + 1.0 / 3628800.0;         // 10!
  p = p * -z + 1.0 / 40320.0;           // 8!
  p = p * -z + 1.0 / 720.0;             // 6!
  p = p * -z + 1.0 / 24.0;              // 4!
  // 1 - z/2 is rounded; what the rounding took is given back.
  const double head = 1.0 - 0.5 * z;
  return head + (((1.0 - head) - 0.5 * z) + z * z * p);
}

}  // namespace

SineCosine PreciseSinCos(double x) {
  CHECK(x >= -kMaxAngle && x <= kMaxAngle);
  const double turns = std::floor(x * kTwoOverPi + 0.5);
  // The first two differences are exact; the third rounds at the size of the result.
  const double reduced =
      (((x - turns * kHalfPi1) - turns * kHalfPi2) - turns * kHalfPi3) - turns * kHalfPi4;
  const double sine = SinePolynomial(reduced);
  const double cosine = CosinePolynomial(reduced);
  switch (static_cast<int64_t>(turns) & 3) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

double PreciseExp(double x) {
  CHECK(x >= -700.0 && x <= 700.0);
  const double exponent = std::floor(x * kLog2E + 0.5);
  const double r = (x - exponent * kLn2High) - exponent * kLn2Low;
  double p = 1.0;
  // Taylor's series to the 14th power on [-ln2/2, ln2/2], by Horner's rule.
  for (int n = 14; n >= 1; --n) p = 1.0 + p * (r / n);
  const uint64_t power = static_cast<uint64_t>(static_cast<int64_t>(exponent) + 1023) << 52;
  return p * std::bit_cast<double>(power);
}

double PreciseLog(double x) {
  CHECK(x >= 0x1p-1022 && x < HUGE_VAL);
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1022;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffff) | 0x3fe0000000000000);
  if (m < kSqrtHalf) {
    m *= 2;
    --exponent;
  }
  // ln m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.172.
  const double f = m - 1.0;
  const double s = f / (m + 1.0);
  const double z = s * s;
  double p = 0.0;
  for (int n = 23; n >= 3; n -= 2) p = z * (1.0 / n + p);
  // 2 s = f - s f: f is exact, so only the small part is rounded.
  const double mantissa = f - s * (f - 2.0 * p);
  return exponent * kLn2High + (mantissa + exponent * kLn2Low);
}

}  // namespace baton
