// No result that is not a number leaves a stage.
#ifndef BATON_ENGINE_PIPELINE_FINITE_H_
#define BATON_ENGINE_PIPELINE_FINITE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "engine/pipeline/stage.h"

namespace baton {

// Whether none of the values is NaN or infinite. As fast as memory.
bool IsFinite(const float* values, int64_t count);

// What a span fails with, Internal: `what` is "logits", say; `position` that of its first such row.
absl::Status NotFinite(const LayerRange& layers, const char* what, int64_t position);

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_FINITE_H_
