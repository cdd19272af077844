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

// Calls body(Index<i>(), Index<j>()) for all i < kRows and j < kColumns.
template <int kRows, int kColumns, typename Body>
[[gnu::always_inline]] inline void ForAll(const Body& body) {
  Unroll<kRows * kColumns>([&](auto at) __attribute__((always_inline)) {
    body(Index<at / kColumns>(), Index<at % kColumns>());
  });
}

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_VECTOR_UNROLL_H_
