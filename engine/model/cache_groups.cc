#include "engine/model/cache_groups.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "engine/kernels/attention.h"

namespace baton {

BlockRange CacheGroup::BlocksOf(int32_t first_position, int32_t row_count) const {
  const int64_t end = int64_t{first_position} + row_count;
  const int32_t first_seen = window == 0 ? 0 : std::max(0, first_position - window + 1);
  return {first_seen / kKvBlockTokens,
          static_cast<int32_t>((end + kKvBlockTokens - 1) / kKvBlockTokens)};
}

std::vector<CacheGroup> CacheGroupsOf(const ModelSpec& spec) {
  constexpr uint32_t kAll = std::numeric_limits<uint32_t>::max();
  std::map<uint32_t, std::vector<int>, std::greater<>> by_window;
  for (int i = 0; i < spec.layer_count; ++i) {
    const uint32_t window = static_cast<uint32_t>(spec.layers[i].window);
    const bool sees_all = window == 0 || window >= spec.context_length;
    by_window[sees_all ? kAll : window].push_back(i);
  }
  std::vector<CacheGroup> groups;
  for (auto& [window, layers] : by_window) {
    groups.push_back({window == kAll ? 0 : static_cast<int32_t>(window), std::move(layers)});
  }
  return groups;
}

}  // namespace baton
