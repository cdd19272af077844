#include "engine/quant/half.h"

#include <bit>

namespace baton {
namespace {

// value / 2^shift, to nearest, ties to even; 1 <= shift <= 24.
uint32_t ShiftRounded(uint32_t value, int shift) {
  const uint32_t below_half = (uint32_t{1} << (shift - 1)) - 1;
  const uint32_t is_odd = (value >> shift) & 1;
  return (value + below_half + is_odd) >> shift;
}

constexpr uint32_t kFloatInfinity = 0x7F800000;
constexpr uint32_t kHalfInfinity = 0x7C00;
constexpr int kMantissaShift = 23 - 10;                 // float's mantissa is wider by this
constexpr uint32_t kExponentShift = (127 - 15) << 23;   // and its exponent larger by this
constexpr uint32_t kSmallestNormalHalf = 0x38800000;    // 2^-14, as float bits
constexpr uint32_t kRoundsToHalfInfinity = 0x477FF000;  // 65520, as float bits

}  // namespace

float HalfToFloat(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7FFFu;
  uint32_t bits;
  if (magnitude >= kHalfInfinity) {
    bits = kFloatInfinity | (magnitude & 0x3FF) << kMantissaShift;
  } else if (magnitude >= 0x400) {
    bits = (magnitude << kMantissaShift) + kExponentShift;
  } else if (magnitude != 0) {
    // Denormal: the leading one moves to the implicit place, bit 10.
    const int shift = std::countl_zero(magnitude) - 21;
    bits = (magnitude << (shift + kMantissaShift)) + kExponentShift -
           (static_cast<uint32_t>(shift) << 23);
  } else {
    bits = 0;
  }
  return std::bit_cast<float>(sign | bits);
}

uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  uint32_t half;
  if (magnitude > kFloatInfinity) {
    half = kHalfInfinity | 0x200 | ((magnitude >> kMantissaShift) & 0x3FF);
  } else if (magnitude >= kRoundsToHalfInfinity) {
    half = kHalfInfinity;
  } else if (magnitude >= kSmallestNormalHalf) {
    half = ShiftRounded(magnitude - kExponentShift, kMantissaShift);
  } else {
    // Denormal: counted in units of 2^-24. Less than half a unit is nothing.
    const int exponent = static_cast<int>(magnitude >> 23);
    const uint32_t mantissa = (magnitude & 0x7FFFFF) | 0x800000;
    half = exponent < 102 ? 0 : ShiftRounded(mantissa, 126 - exponent);
  }
  return static_cast<uint16_t>(sign | half);
}

float BFloat16ToFloat(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

uint16_t FloatToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const bool is_nan = (bits & 0x7FFFFFFF) > kFloatInfinity;
  return static_cast<uint16_t>(is_nan ? bits >> 16 | 0x40 : ShiftRounded(bits, 16));
}

}  // namespace baton
