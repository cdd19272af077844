// Philox4x32-10, a counter-based random generator: every block of 128 random bits is a function of
// a key and a counter, with no state between them.
//
// Source: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011.
#ifndef BATON_ENGINE_SAMPLING_PHILOX_H_
#define BATON_ENGINE_SAMPLING_PHILOX_H_

#include <array>
#include <cstdint>

namespace baton {

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

}  // namespace baton

#endif  // BATON_ENGINE_SAMPLING_PHILOX_H_
