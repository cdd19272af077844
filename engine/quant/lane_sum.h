// Sums in eight lanes, whose order is fixed: compilers use vectors, and the bits are the same on
// every machine.
#ifndef BATON_ENGINE_QUANT_LANE_SUM_H_
#define BATON_ENGINE_QUANT_LANE_SUM_H_

namespace baton {

// term(0) + ... + term(count - 1); count is a multiple of 8.
template <typename Term>
inline float LaneSum(int count, const Term& term) {
  float lanes[8] = {};
  for (int i = 0; i < count; i += 8) {
    for (int lane = 0; lane < 8; ++lane) lanes[lane] += term(i + lane);
  }
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

}  // namespace baton

#endif  // BATON_ENGINE_QUANT_LANE_SUM_H_
