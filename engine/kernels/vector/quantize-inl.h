// Rounding of activations to int8, written once over the 128-bit lanes of a register: each lane
// works on a block of its own, kLaneBlocks of them at a time. The includer has included its
// instruction set's block_lanes.h. Nothing here may be shared between instruction sets
// (elementwise-inl.h).

#include <cstdint>

#include "engine/kernels/kernels.h"

namespace baton::BATON_VECTOR_NAMESPACE {

// Per block the factor of the step with the least error, in each of its eight elements.
inline I16Lanes BestFactor(const I16Lanes (&fine)[4]) {
  static_assert(sizeof(kRoundingSteps) / sizeof(kRoundingSteps[0]) == 4);
  constexpr auto& kSteps = kRoundingSteps;
  I32Lanes errors[4];
  for (int s = 0; s < 4; ++s) {
    const I16Lanes factor = Set1Int16(kSteps[s].factor);
    errors[s] = Set1Int32(0);
    for (const I16Lanes& x : fine) {
      // How far the value is from a whole one: its last seven bits, with a sign.
      const I16Lanes error = SignExtend7(MultiplyRound(x, factor));
      errors[s] = AddDot(errors[s], error, error);
    }
  }
  // With the step's number behind it an error stays below 2^32: 32 squares of 64, 4295 and 4.
  const I32Lanes weights = SetFour(4 * kSteps[0].weight, 4 * kSteps[1].weight,  //
                                   4 * kSteps[2].weight, 4 * kSteps[3].weight);
  const I32Lanes keys = Add(Multiply(SumsOfFour(errors), weights), SetFour(0, 1, 2, 3));
  const auto twice = [](int16_t factor) {
    return uint32_t{0x10001} * static_cast<uint16_t>(factor);
  };
  return AsInt16(Lookup(SetFour(twice(kSteps[0].factor), twice(kSteps[1].factor),
                                twice(kSteps[2].factor), twice(kSteps[3].factor)),
                        And(LeastOfFour(keys), Set1Int32(3))));
}

// The sums and scales of a block whose values are there already. `sums`: of the first half, of the
// second, of the products with the fine values, of the squares.
inline void FinishBlock(float max, const int32_t* sums, QuantizedBlock& block) {
  constexpr float kInfinity = __builtin_inff();
  if (!(max >= kSmallestActivation && max < kInfinity)) {
    block = {};
    block.scale = block.scaled_sum = max < kSmallestActivation ? 0 : __builtin_nanf("");
    return;
  }
  block.half_sums[0] = static_cast<int16_t>(sums[0]);
  block.half_sums[1] = static_cast<int16_t>(sums[1]);
  block.minus_sum = -(sums[0] + sums[1]);
  block.scale = max * kFineStep * (static_cast<float>(sums[2]) / static_cast<float>(sums[3]));
  block.scaled_sum = block.scale * static_cast<float>(sums[0] + sums[1]);
}

// kLaneBlocks blocks on their way.
struct LaneBlocks {
  I16Lanes fine[4];
  I16Lanes factor;
  alignas(64) int32_t maxima[4 * kLaneBlocks];  // of each block four times, as bits
  alignas(64) int32_t sums[4 * kLaneBlocks];    // as FinishBlock takes them
};

inline void RoundToFine(const float* const (&x)[kLaneBlocks], LaneBlocks& blocks) {
  F32Lanes in[8];
  I32Lanes max = Set1Int32(0);  // as bits: those of NaN are above all others
  for (int i = 0; i < 8; ++i) {
    in[i] = LoadFours(x, 4 * i);
    max = Max(max, And(AsInt32(in[i]), Set1Int32(0x7fffffff)));
  }
  max = LargestOfFour(max);
  Store(max, blocks.maxima);
  const F32Lanes inverse = Div(Set1Float(kFineMax), AsFloats(max));
  for (int i = 0; i < 4; ++i) {
    blocks.fine[i] = Pack(Round(Mul(in[2 * i], inverse)), Round(Mul(in[2 * i + 1], inverse)));
  }
}

inline void RoundToBytes(LaneBlocks& blocks, QuantizedBlock* const (&out)[kLaneBlocks]) {
  const I16Lanes one = Set1Int16(1), half = Set1Int16(64);
  I16Lanes values[4];
  I32Lanes sums[4] = {Set1Int32(0), Set1Int32(0), Set1Int32(0), Set1Int32(0)};
  for (int i = 0; i < 4; ++i) {
    values[i] = ShiftRight7(Add(MultiplyRound(blocks.fine[i], blocks.factor), half));
    sums[i / 2] = AddDot(sums[i / 2], values[i], one);
    sums[2] = AddDot(sums[2], blocks.fine[i], values[i]);
    sums[3] = AddDot(sums[3], values[i], values[i]);
  }
  Store(SumsOfFour(sums), blocks.sums);
  StoreBytes(values, out);
}

inline void QuantizeRow(const float* x, const QuantizedRows& out, int64_t row) {
  // What takes time here is waiting for results, in each block one after the other. Many blocks go
  // through each step together, so that they wait at once.
  constexpr int kGroups = 8;
  QuantizedBlock* const blocks = out.blocks + row * out.blocks_per_row;
  for (int64_t first = 0; first < out.blocks_per_row; first += kGroups * kLaneBlocks) {
    const int64_t left = out.blocks_per_row - first;
    const int groups = left < kGroups * kLaneBlocks
                           ? static_cast<int>((left + kLaneBlocks - 1) / kLaneBlocks)
                           : kGroups;
    // Lanes behind the end repeat the last block.
    const auto index = [&](int lane) { return first + (lane < left ? lane : left - 1); };
    LaneBlocks group[kGroups];
    for (int g = 0; g < groups; ++g) {
      const float* from[kLaneBlocks];
      for (int b = 0; b < kLaneBlocks; ++b) {
        from[b] = x + index(g * kLaneBlocks + b) * kActivationBlock;
      }
      RoundToFine(from, group[g]);
    }
    for (int g = 0; g < groups; ++g) group[g].factor = BestFactor(group[g].fine);
    for (int g = 0; g < groups; ++g) {
      QuantizedBlock* to[kLaneBlocks];
      for (int b = 0; b < kLaneBlocks; ++b) to[b] = blocks + index(g * kLaneBlocks + b);
      RoundToBytes(group[g], to);
    }
    for (int g = 0; g < groups; ++g) {
      for (int b = 0; b < kLaneBlocks; ++b) {
        FinishBlock(__builtin_bit_cast(float, group[g].maxima[4 * b]), group[g].sums + 4 * b,
                    blocks[index(g * kLaneBlocks + b)]);
      }
    }
  }
}

}  // namespace baton::BATON_VECTOR_NAMESPACE
