// Steps between their engine types and frames. Nothing from the wire reaches the engine before it
// is checked against the bounds of bounds.h and of the stage; every error is InvalidArgument
// naming the number found and the one expected.
#ifndef BATON_PROTO_CONVERT_H_
#define BATON_PROTO_CONVERT_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/pipeline/batch.h"
#include "grpcpp/support/byte_buffer.h"
#include "proto/handshake.h"

namespace baton {

// A step on its way along the chain.
struct ChainStep {
  Batch batch;
  std::vector<StageTiming> stages;  // of the stages that have run
  // Not OK once a stage has failed; the batch then has no spans and is not computed any more.
  absl::Status error;
  int failed_stage = 0;
};

// The first wrong number of a batch that is to enter the stage, if there is one: rows, spans,
// positions, token and block ids, the size of `hidden`.
absl::Status CheckBatch(const Batch& batch, const StageConfig& stage);

grpc::ByteBuffer EncodeStep(ChainStep step);
absl::StatusOr<ChainStep> DecodeStep(const grpc::ByteBuffer& frame, const StageConfig& stage);

// What the last stage is to make of a step.
struct StepOutputs {
  uint64_t epoch = 0;
  uint64_t step = 0;
  std::vector<OutputSpec> outputs;
};
absl::Status CheckOutputs(const std::vector<OutputSpec>& outputs, const StageConfig& last_stage);
grpc::ByteBuffer EncodeOutputs(const StepOutputs& outputs);
absl::StatusOr<StepOutputs> DecodeOutputs(const grpc::ByteBuffer& frame,
                                          const StageConfig& last_stage);

// What the last stage sends: a result, or which stage failed and why.
struct StepReply {
  StepResult result;
  absl::Status error;
  int failed_stage = 0;
};
grpc::ByteBuffer EncodeReply(StepReply reply);
// `asked`: the outputs that the step was submitted with; the reply must fit them.
absl::StatusOr<StepReply> DecodeReply(const grpc::ByteBuffer& frame, const StageConfig& last_stage,
                                      const StepOutputs& asked);

// What a head that shares its matrix asks of the stage before it.
grpc::ByteBuffer EncodeHeadRequest(HeadRequest request);
absl::StatusOr<HeadRequest> DecodeHeadRequest(const grpc::ByteBuffer& frame,
                                              const StageConfig& stage);

// And what it gets.
struct HeadReply {
  double compute_ms = 0;  // of that stage
  HeadShare share;
};
grpc::ByteBuffer EncodeHeadReply(HeadReply reply);
// The reply must fit the oldest request: so many rows, so many candidates.
absl::StatusOr<HeadReply> DecodeHeadReply(const grpc::ByteBuffer& frame, const StageConfig& stage,
                                          int64_t asked_rows, int32_t asked_candidates);

// Steps that may be sent from now on, at most a window.
grpc::ByteBuffer EncodeCredits(uint32_t steps);
absl::StatusOr<uint32_t> DecodeCredits(const grpc::ByteBuffer& frame);

}  // namespace baton

#endif  // BATON_PROTO_CONVERT_H_
