// What a step asks of the machine at the least, however it is computed: the arithmetic of its
// matrices, and the bytes that must come from memory.
#ifndef BATON_ENGINE_PIPELINE_STEP_WORK_H_
#define BATON_ENGINE_PIPELINE_STEP_WORK_H_

#include <cstdint>

#include "engine/model/model_spec.h"
#include "engine/pipeline/local_stage.h"
#include "engine/pipeline/plan.h"

namespace baton {

// A step of all layers of a model, over as many stages as one likes.
struct StepShape {
  int64_t row_count = 0;       // that go through the layers
  int64_t logit_count = 0;     // of them: those whose logits are computed; of the others, the last
                               // layer has K and V alone to make
  double read_positions = 0;   // of K and V, each once per sequence that attends to it; layers with
                               // a window read those of them that its rows see
  int64_t sequence_count = 1;  // that have equally many of all these
};

struct StepWork {
  // Two per weight and row that are multiplied, in int8 or in f32. Attention is not counted.
  double int8_operations = 0;
  double f32_operations = 0;
  // Bytes of tensors as they are in the file, each once, and of K and V as they are stored. Of the
  // embedding only the rows that are looked up.
  double read_bytes = 0;
};

// Of experts, as many rows as the router chooses are multiplied; the bytes are those of the experts
// that so many rows reach on average, when every expert is as likely as any other.
StepWork CountStepWork(const ModelSpec& spec, const NumericOptions& numeric,
                       const StepShape& shape);

// What reading a step's weights costs beside its arithmetic, in rows: a step of r rows takes about
// as long as r + WeightRows() rows of a very long one. By the bytes per weight that a row meets,
// so that weights of experts, which few rows meet, count for more.
double WeightRows(const ModelSpec& spec, const NumericOptions& numeric);

// How much less a prompt's rows have to do in the last stage than in the one before it that has
// most, as a part of what the last one does: the model's last layer makes K and V of them alone. 0
// where it is not less, and of a single stage.
double PromptSlack(const ModelSpec& spec, const PipelinePlan& plan);

}  // namespace baton

#endif  // BATON_ENGINE_PIPELINE_STEP_WORK_H_
