#include "engine/base/deterministic_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "engine/base/check.h"

namespace baton {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// ln 2 in two parts. The high one has 32 significant bits, so its product with an exponent (11
// bits) is exact.
constexpr double kLn2High = 0x1.62e42feep-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kSqrt2 = 0x1.6a09e667f3bcdp+0;

constexpr double kExpOverflow = 709.782712893384;     // ln(largest double), rounded up
constexpr double kExpUnderflow = -745.1332191019412;  // ln(half the smallest subnormal)

constexpr int kMantissaBits = 52;
constexpr int kExponentBias = 1023;
constexpr uint64_t kMantissaMask = (uint64_t{1} << kMantissaBits) - 1;
constexpr double kSmallestNormal = 0x1p-1022;

// pi/2 in four parts. The first three have 28 bits, so that their products with a count of quarter
// turns up to 2^24 are exact (Cody and Waite's reduction).
constexpr double kHalfPi1 = 0x1.921fb54000000p+0;
constexpr double kHalfPi2 = 0x1.10b4610000000p-30;
constexpr double kHalfPi3 = 0x1.a626330000000p-58;
constexpr double kHalfPi4 = 0x1.45c06e0e68948p-86;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;

// 2^exponent, for exponents of normal numbers.
double PowerOfTwo(int exponent) {
  return std::bit_cast<double>(static_cast<uint64_t>(exponent + kExponentBias) << kMantissaBits);
}

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

double Exp(double x) {
  if (x != x) return x;
  if (x > kExpOverflow) return kInfinity;
  if (x < kExpUnderflow) return 0.0;
  // x = k ln 2 + r with |r| <= 0.347.
  const int k = static_cast<int>(x * kLog2E + (x < 0 ? -0.5 : 0.5));
  const double r = (x - k * kLn2High) - k * kLn2Low;
  // Taylor: at |r| = 0.347 the first term left out, r^14 / 14!, is 4e-18.
  double sum = 1.0 / 6227020800.0;
  sum = sum * r + 1.0 / 479001600.0;
  sum = sum * r + 1.0 / 39916800.0;
  sum = sum * r + 1.0 / 3628800.0;
  sum = sum * r + 1.0 / 362880.0;
  sum = sum * r + 1.0 / 40320.0;
  sum = sum * r + 1.0 / 5040.0;
  sum = sum * r + 1.0 / 720.0;
  sum = sum * r + 1.0 / 120.0;
  sum = sum * r + 1.0 / 24.0;
  sum = sum * r + 1.0 / 6.0;
  sum = sum * r + 0.5;
  sum = 1.0 + (r + r * r * sum);
  // In two factors, because 2^k alone may be no normal number.
  const int half = k / 2;
  return sum * PowerOfTwo(half) * PowerOfTwo(k - half);
}

double Log(double x) {
  if (x != x || x == kInfinity) return x;
  if (x < 0) return kNan;
  if (x == 0) return -kInfinity;
  int k = 0;
  if (x < kSmallestNormal) {
    x *= 0x1p54;
    k = -54;
  }
  // x = 2^k m with m in [sqrt(1/2), sqrt(2)), so that k ln 2 and log m never cancel.
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  k += static_cast<int>(bits >> kMantissaBits) - kExponentBias;
  double m = std::bit_cast<double>((bits & kMantissaMask) |
                                   (static_cast<uint64_t>(kExponentBias) << kMantissaBits));
  if (m >= kSqrt2) {
    m *= 0.5;
    ++k;
  }
  // log m = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 ...) with s = (m - 1) / (m + 1), |s| <= 0.172: the
  // first term left out, s^23/23, is below 1e-18 of the sum.
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double sum = 1.0 / 21.0;
  sum = sum * z + 1.0 / 19.0;
  sum = sum * z + 1.0 / 17.0;
  sum = sum * z + 1.0 / 15.0;
  sum = sum * z + 1.0 / 13.0;
  sum = sum * z + 1.0 / 11.0;
  sum = sum * z + 1.0 / 9.0;
  sum = sum * z + 1.0 / 7.0;
  sum = sum * z + 1.0 / 5.0;
  sum = sum * z + 1.0 / 3.0;
  const double log_m = 2.0 * s + 2.0 * s * (z * sum);
  return k * kLn2High + (k * kLn2Low + log_m);
}

SineCosine SinCos(double x) {
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

}  // namespace baton
