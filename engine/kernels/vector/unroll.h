// Loops that are unrolled before anything else is optimised, so that arrays indexed by them become
// registers. (`#pragma GCC unroll` comes too late for that.)
#ifndef BATON_ENGINE_KERNELS_VECTOR_UNROLL_H_
#define BATON_ENGINE_KERNELS_VECTOR_UNROLL_H_

namespace baton {

template <int kValue>
struct Index {
  constexpr operator int() const { return kValue; }  // NOLINT: reads as a loop variable
};

// Calls body(Index<0>()), body(Index<1>()) ... body(Index<kCount - 1>()).
template <int kCount, typename Body>
[[gnu::always_inline]] inline void Unroll(const Body& body) {
  if constexpr (kCount > 0) {
    Unroll<kCount - 1>(body);
    body(Index<kCount - 1>());
  }
}

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_VECTOR_UNROLL_H_
