// Which experts a row goes to.
#ifndef BATON_ENGINE_MODEL_ROUTER_H_
#define BATON_ENGINE_MODEL_ROUTER_H_

#include "absl/types/span.h"
#include "engine/model/model_spec.h"

namespace baton {

struct ExpertChoice {
  int expert = 0;
  float weight = 0;
};

// Fills `choices` with the best experts by (value descending, index ascending), where the value is
// the gate's of the score plus the choice bias, of the groups that may be chosen from; and with
// their weights, as RouterSpec says. Sums run in ascending order of index, or of choice. A pure
// function. scores [experts], their bias added; choice_bias [experts] or empty; at most as many
// choices as the groups hold experts. A score that is not finite gives weights that are not.
void ChooseExperts(const RouterSpec& router, absl::Span<const float> choice_bias,
                   absl::Span<const float> scores, absl::Span<ExpertChoice> choices);

}  // namespace baton

#endif  // BATON_ENGINE_MODEL_ROUTER_H_
