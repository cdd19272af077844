// Rows of activations in tiles, each of them code of its own for its number of rows.
#ifndef BATON_ENGINE_KERNELS_VECTOR_ROW_TILES_H_
#define BATON_ENGINE_KERNELS_VECTOR_ROW_TILES_H_

#include <cstdint>

namespace baton {

// Calls body.operator()<rows>() with a number of rows from 1 to kMost.
template <int kMost, typename Body>
[[gnu::always_inline]] inline void WithRows(int64_t rows, const Body& body) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return WithRows<kMost - 1>(rows, body);
  }
  body.template operator()<kMost>();
}

// Calls body.operator()<rows>(first) for tiles of kMost rows, and one for what is left of `count`.
template <int kMost, typename Body>
[[gnu::always_inline]] inline void ForRowTiles(int64_t count, const Body& body) {
  int64_t first = 0;
  for (; first + kMost <= count; first += kMost) body.template operator()<kMost>(first);
  if (first == count) return;
  WithRows<kMost - 1>(count - first, [&]<int kRows>() { body.template operator()<kRows>(first); });
}

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_VECTOR_ROW_TILES_H_
