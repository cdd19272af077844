// Kernels that are written once over F32x16 and compiled for each instruction set. The includer has
// included that set's f32x16.h, which names BATON_VECTOR_NAMESPACE. Nothing here may be shared
// between instruction sets: a linker would keep one copy, for whichever CPU it was built.

#include <cstdint>

#include "engine/kernels/exp.h"
#include "engine/kernels/kernels.h"

namespace baton::BATON_VECTOR_NAMESPACE {

// First n of 16 floats; the other lanes are 0.
inline F32x16 LoadFirst(const float* p, int64_t n) {
  alignas(64) float lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return Load(lanes);
}
inline void StoreFirst(float* p, F32x16 x, int64_t n) {
  alignas(64) float lanes[kLanes];
  Store(lanes, x);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

// ExpFloat, lane by lane.
inline F32x16 Exp(F32x16 x) {
  using namespace exp_constants;
  const F32x16 round = Set1(kRound);
  const F32x16 n = Sub(Fma(x, Set1(kLog2E), round), round);
  const F32x16 minus_n = Negate(n);
  F32x16 r = Fma(minus_n, Set1(kLn2High), x);
  r = Fma(minus_n, Set1(kLn2Low), r);
  F32x16 p = Set1(kCoefficients[0]);
  for (int i = 1; i < 8; ++i) p = Fma(p, r, Set1(kCoefficients[i]));
  const F32x16 infinity = Set1(__builtin_inff());
  F32x16 result = ScaleByPowerOf2(p, n);
  result = SelectBelow(x, Set1(kLowest), Zero(), result);
  result = SelectBelow(Set1(kHighest), x, infinity, result);
  // A NaN compares with nothing: ordered comparisons with itself tell it.
  return SelectNan(x, result);
}

// TanhFloat, lane by lane.
inline F32x16 Tanh(F32x16 x) {
  const F32x16 one = Set1(1.0f);
  const F32x16 e = Exp(Mul(Set1(2.0f), SelectBelow(x, Zero(), x, Negate(x))));
  const F32x16 tanh = Div(Sub(one, e), Add(one, e));
  return SelectBelow(x, Zero(), Negate(tanh), tanh);
}

// Calls body(i, n) for the runs of 16 elements, n < 16 for the last one only.
template <typename Body>
inline void ForEachVector(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, kLanes);
  if (i < count) body(i, count - i);
}
inline F32x16 LoadUpTo(const float* p, int64_t n) {
  return n == kLanes ? Load(p) : LoadFirst(p, n);
}
inline void StoreUpTo(float* p, F32x16 x, int64_t n) {
  if (n == kLanes) {
    Store(p, x);
  } else {
    StoreFirst(p, x, n);
  }
}

inline void RmsNorm(const float* x, const float* weight, float epsilon, int64_t n, float* out) {
  F32x16 sum = Zero();
  ForEachVector(n, [&](int64_t i, int64_t count) {
    const F32x16 v = LoadUpTo(x + i, count);
    sum = Fma(v, v, sum);
  });
  const float mean = AddLanes(sum) / static_cast<float>(n);
  const F32x16 scale = Set1(1.0f / __builtin_sqrtf(mean + epsilon));
  ForEachVector(n, [&](int64_t i, int64_t count) {
    const F32x16 v = Mul(LoadUpTo(x + i, count), scale);
    StoreUpTo(out + i, Mul(v, LoadUpTo(weight + i, count)), count);
  });
}

inline void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon,
                      int64_t n, float* out) {
  F32x16 sum = Zero(), squares = Zero();
  ForEachVector(n, [&](int64_t i, int64_t count) { sum = Add(sum, LoadUpTo(x + i, count)); });
  const float mean = AddLanes(sum) / static_cast<float>(n);
  const F32x16 means = Set1(mean);
  ForEachVector(n, [&](int64_t i, int64_t count) {
    F32x16 difference = Sub(LoadUpTo(x + i, count), means);
    if (count < kLanes) {
      alignas(64) float lanes[kLanes];
      Store(lanes, difference);
      difference = LoadFirst(lanes, count);
    }
    squares = Fma(difference, difference, squares);
  });
  const float variance = AddLanes(squares) / static_cast<float>(n);
  const F32x16 scale = Set1(1.0f / __builtin_sqrtf(variance + epsilon));
  ForEachVector(n, [&](int64_t i, int64_t count) {
    const F32x16 normed = Mul(Sub(LoadUpTo(x + i, count), means), scale);
    F32x16 result = Mul(normed, LoadUpTo(weight + i, count));
    if (bias != nullptr) result = Add(result, LoadUpTo(bias + i, count));
    StoreUpTo(out + i, result, count);
  });
}

inline void AddVectors(float* x, const float* y, int64_t n) {
  ForEachVector(n, [&](int64_t i, int64_t count) {
    StoreUpTo(x + i, Add(LoadUpTo(x + i, count), LoadUpTo(y + i, count)), count);
  });
}

inline void AddScaled(float* x, const float* y, float scale, int64_t n) {
  const F32x16 s = Set1(scale);
  ForEachVector(n, [&](int64_t i, int64_t count) {
    StoreUpTo(x + i, Fma(s, LoadUpTo(y + i, count), LoadUpTo(x + i, count)), count);
  });
}

// out[i] = function(x[i]) for vectors x[i].
template <typename Function>
inline void Apply(const float* x, int64_t n, float* out, const Function& function) {
  ForEachVector(n, [&](int64_t i, int64_t count) {
    StoreUpTo(out + i, function(LoadUpTo(x + i, count)), count);
  });
}
// out[i] = function(x[i], y[i])
template <typename Function>
inline void Apply(const float* x, const float* y, int64_t n, float* out, const Function& function) {
  ForEachVector(n, [&](int64_t i, int64_t count) {
    StoreUpTo(out + i, function(LoadUpTo(x + i, count), LoadUpTo(y + i, count)), count);
  });
}

// x sigmoid(y)
inline F32x16 TimesSigmoid(F32x16 x, F32x16 y) { return Div(x, Add(Set1(1.0f), Exp(Negate(y)))); }

inline F32x16 GeluOf(F32x16 x) {
  const F32x16 factor = Fma(Set1(kGeluCubic), Mul(x, x), Set1(1.0f));
  return TimesSigmoid(x, Mul(Mul(Set1(2 * kGeluSlope), x), factor));
}

inline void SiluMultiply(const float* gate, const float* up, int64_t n, float* out) {
  Apply(gate, up, n, out, [](F32x16 g, F32x16 u) { return Mul(TimesSigmoid(g, g), u); });
}

inline void GeluMultiply(const float* gate, const float* up, int64_t n, float* out) {
  Apply(gate, up, n, out, [](F32x16 g, F32x16 u) { return Mul(GeluOf(g), u); });
}

inline void Gelu(const float* x, int64_t n, float* out) {
  Apply(x, n, out, [](F32x16 v) { return GeluOf(v); });
}

inline void SwigluClampedMultiply(const float* gate, const float* up, int64_t n, float* out) {
  const F32x16 one = Set1(1.0f), limit = Set1(kClampedSwigluLimit);
  const F32x16 lowest = Negate(limit), slope = Set1(kClampedSwigluSlope);
  Apply(gate, up, n, out, [&](F32x16 g, F32x16 u) {
    g = SelectBelow(limit, g, limit, g);
    u = SelectBelow(limit, u, limit, u);
    u = SelectBelow(u, lowest, lowest, u);
    return Mul(TimesSigmoid(g, Mul(slope, g)), Add(u, one));
  });
}

inline void Scale(float* x, float factor, int64_t n) {
  Apply(x, n, x, [f = Set1(factor)](F32x16 v) { return Mul(v, f); });
}

inline void SoftCap(float* x, float cap, int64_t n) {
  Apply(x, n, x, [c = Set1(cap)](F32x16 v) { return Mul(c, Tanh(Div(v, c))); });
}

// (a, b) turned: see the scalar twin.
inline void Rotate(F32x16& a, F32x16& b, F32x16 cosine, F32x16 sine) {
  const F32x16 x = a, y = b;
  a = Fma(x, cosine, Negate(Mul(y, sine)));
  b = Fma(x, sine, Mul(y, cosine));
}

inline void RopeAdjacent(float* x, const float* cosine, const float* sine, int64_t pair_count) {
  ForEachVector(pair_count, [&](int64_t i, int64_t count) {
    alignas(64) float pairs[2 * kLanes] = {};
    float* at = x + 2 * i;
    if (count < kLanes) {
      for (int64_t j = 0; j < 2 * count; ++j) pairs[j] = at[j];
      at = pairs;
    }
    F32x16 a, b;
    Deinterleave(at, &a, &b);
    Rotate(a, b, LoadUpTo(cosine + i, count), LoadUpTo(sine + i, count));
    F32x16 low, high;
    Interleave(a, b, &low, &high);
    Store(at, low);
    Store(at + kLanes, high);
    if (count < kLanes) {
      for (int64_t j = 0; j < 2 * count; ++j) x[2 * i + j] = pairs[j];
    }
  });
}

inline void RopeHalves(float* x, const float* cosine, const float* sine, int64_t pair_count) {
  ForEachVector(pair_count, [&](int64_t i, int64_t count) {
    F32x16 a = LoadUpTo(x + i, count), b = LoadUpTo(x + pair_count + i, count);
    Rotate(a, b, LoadUpTo(cosine + i, count), LoadUpTo(sine + i, count));
    StoreUpTo(x + i, a, count);
    StoreUpTo(x + pair_count + i, b, count);
  });
}

inline void ToHalf(const float* x, int64_t n, uint16_t* out) {
  ForEachVector(n, [&](int64_t i, int64_t count) {
    if (count == kLanes) {
      StoreHalf(out + i, Load(x + i));
      return;
    }
    uint16_t halves[kLanes];
    StoreHalf(halves, LoadFirst(x + i, count));
    for (int64_t j = 0; j < count; ++j) out[i + j] = halves[j];
  });
}

}  // namespace baton::BATON_VECTOR_NAMESPACE
