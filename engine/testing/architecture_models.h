// A tiny random model of every architecture and of each of its variants: what is published of them
// is too large to be a test. tests/architectures has what a reference makes of each.
#ifndef BATON_ENGINE_TESTING_ARCHITECTURE_MODELS_H_
#define BATON_ENGINE_TESTING_ARCHITECTURE_MODELS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/quant/types.h"
#include "engine/testing/tiny_model.h"

namespace baton {

struct ArchitectureModel {
  const char* name;          // of the variant: its architecture, and in which way it is special
  const char* architecture;  // general.architecture
  void (*describe)(TinyModel& model);
  // Such that the reference's choices are clear: see tools/reference_logits.
  uint64_t seed = 1;
};

absl::Span<const ArchitectureModel> AllArchitectureModels();
// Null when there is none.
const ArchitectureModel* FindArchitectureModel(absl::string_view name);

// Writes the same bytes on every machine. The options' seed counts, not the variant's.
absl::Status WriteArchitectureModel(const ArchitectureModel& variant,
                                    const TinyModelOptions& options, const std::string& path);

}  // namespace baton

#endif  // BATON_ENGINE_TESTING_ARCHITECTURE_MODELS_H_
