// What a strip says of one row beside its weights, whatever the strip: shared by what packs it.
#ifndef BATON_ENGINE_KERNELS_PACKED_STRIP_H_
#define BATON_ENGINE_KERNELS_PACKED_STRIP_H_

#include <array>
#include <cstdint>
#include <type_traits>

#include "engine/kernels/packed_block.h"
#include "engine/kernels/packed_layout.h"

namespace baton {

// The code that stands for a weight.
template <typename Strip>
constexpr std::array<uint8_t, 256> MakeCodes() {
  std::array<uint8_t, 256> codes = {};
  for (int code = 15; code >= 0; --code) {
    codes[static_cast<uint8_t>(Strip::kValues[code])] = static_cast<uint8_t>(code);
  }
  return codes;
}
template <typename Strip>
uint8_t CodeOf(int weight) {
  static constexpr std::array<uint8_t, 256> kCodes = MakeCodes<Strip>();
  return kCodes[static_cast<uint8_t>(weight)];
}

// Scales of one row, where the format has them; Scales is Unit or Strip.
template <typename Scales>
void GetScales(const Scales& from, int row, PackedBlock& block) {
  if constexpr (requires { from.d[0].bits; }) {
    block.d = from.d[row].bits;
  } else if constexpr (requires { from.d; }) {
    block.d = from.d[row];
  }
  if constexpr (requires { from.m; }) block.m = from.m[row];
  if constexpr (requires { from.dmin; }) block.m = from.dmin[row];
  if constexpr (requires { from.half_d; }) {
    block.d = from.half_d[0][row];
    block.m = from.half_d[1][row];
  }
  if constexpr (requires { from.scale; }) block.scale[0] = from.scale[row];
  if constexpr (requires { from.sub_scale; }) {
    block.scale[0] = from.sub_scale[row];
    block.min[0] = from.sub_min[row];
  }
  if constexpr (requires { from.sub; }) {
    constexpr bool kHasMin = std::is_same_v<Scales, StripQ2_K>;
    for (int h = 0; h < 2; ++h) {
      block.scale[h] = kHasMin ? from.sub[h][row] & 15 : from.sub[h][row];
      if (kHasMin) block.min[h] = from.sub[h][row] >> 4;
    }
  }
}

template <typename Scales>
void SetScales(const PackedBlock& block, int row, Scales& to) {
  if constexpr (requires { to.d[0].bits; }) {
    to.d[row].bits = block.d;
  } else if constexpr (requires { to.d; }) {
    to.d[row] = block.d;
  }
  if constexpr (requires { to.m; }) to.m[row] = block.m;
  if constexpr (requires { to.dmin; }) to.dmin[row] = block.m;
  if constexpr (requires { to.half_d; }) {
    to.half_d[0][row] = block.d;
    to.half_d[1][row] = block.m;
  }
  if constexpr (requires { to.scale; }) to.scale[row] = static_cast<int8_t>(block.scale[0]);
  if constexpr (requires { to.sub_scale; }) {
    to.sub_scale[row] = static_cast<uint8_t>(block.scale[0]);
    to.sub_min[row] = static_cast<uint8_t>(block.min[0]);
  }
  if constexpr (requires { to.sub; }) {
    using Byte = std::remove_reference_t<decltype(to.sub[0][0])>;
    for (int h = 0; h < 2; ++h) {
      to.sub[h][row] = static_cast<Byte>(block.scale[h] | block.min[h] << 4);
    }
  }
}

}  // namespace baton

#endif  // BATON_ENGINE_KERNELS_PACKED_STRIP_H_
