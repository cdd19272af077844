#include <algorithm>
#include <limits>

#include "engine/kernels/scalar/scalar.h"

namespace baton::scalar {

float ReadMax(const float* data, int64_t count, int streams, int64_t prefetch_bytes) {
  const int64_t length = count / streams;
  float most[4];
  std::fill_n(most, 4, -std::numeric_limits<float>::infinity());
  for (int64_t at = 0; at < length; at += kProbeReadFloats) {
    for (int stream = 0; stream < streams; ++stream) {
      const float* p = data + stream * length + at;
      if (prefetch_bytes != 0) {
        const char* ahead = reinterpret_cast<const char*>(p) + prefetch_bytes;
        for (int64_t byte = 0; byte < kProbeReadFloats * 4; byte += 64) {
          __builtin_prefetch(ahead + byte);
        }
      }
      for (int64_t i = 0; i < kProbeReadFloats; ++i) most[i % 4] = std::max(most[i % 4], p[i]);
    }
  }
  return *std::max_element(most, most + 4);
}

}  // namespace baton::scalar
