#include "engine/pipeline/finite.h"

#include <bit>

#include "absl/strings/str_cat.h"

namespace baton {

bool IsFinite(const float* values, int64_t count) {
  constexpr int64_t kBlock = 64;  // loops of a known length become vectors
  const auto is_bad = [](float value) -> uint32_t {
    constexpr uint32_t kExponent = 0x7f800000;
    return (std::bit_cast<uint32_t>(value) & kExponent) == kExponent;
  };
  uint32_t bad = 0;
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    for (int64_t j = 0; j < kBlock; ++j) bad |= is_bad(values[i + j]);
  }
  for (; i < count; ++i) bad |= is_bad(values[i]);
  return bad == 0;
}

absl::Status NotFinite(const LayerRange& layers, const char* what, int64_t position) {
  return absl::InternalError(absl::StrCat("the stage of layers ", layers.begin, " to ",
                                          layers.end - 1, " computed ", what,
                                          " that are not finite at position ", position));
}

}  // namespace baton
