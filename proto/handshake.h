// What two ends must agree on before a hidden state passes between them, and the status that they
// send each other when they don't. Fails closed: any difference is an error naming both values.
//
// Errors are InvalidArgument for numbers beyond their bounds (bounds.h) and FailedPrecondition for
// a difference between two sound values.
#ifndef BATON_PROTO_HANDSHAKE_H_
#define BATON_PROTO_HANDSHAKE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/gguf/gguf_file.h"
#include "engine/pipeline/stage.h"
#include "proto/version.h"
#include "proto/wire.pb.h"

namespace baton {

// Everything that a worker is told about the stage that it is to be.
struct StageConfig {
  Versions versions;
  uint64_t epoch = 0;
  ModelIdentity model_identity = {};
  int stage_index = 0;
  int stage_count = 1;
  StageRole role;
  // The model's, as the coordinator read them.
  int layer_count = 0;
  int width = 0;
  int vocabulary_size = 0;
  // By their names on the command line: the coordinator knows no kernel.
  std::string kv_type = "f16";
  std::string activations = "int8";
  std::vector<int32_t> kv_block_counts;  // by cache group of the model
  int32_t context_length = 0;
  int32_t asked_context = 0;  // of NumericOptions
  int window = 1;             // steps that may be inside this stage at once
  std::string next_address;   // empty at the last stage

  bool is_last() const { return stage_index + 1 == stage_count; }
};

wire::ConfigureRequest ToWire(const StageConfig& config);
// Checks versions before all else, against `ours`.
absl::StatusOr<StageConfig> FromWire(const wire::ConfigureRequest& request, const Versions& ours);

void ToWire(const Versions& versions, wire::Versions* out);
// `who` is the side that sent `theirs`: "worker 10.0.0.2:5000".
absl::Status CheckVersions(const Versions& ours, const wire::Versions& theirs,
                           absl::string_view who);

// The opening of an edge into stage `to_stage` of the same chain as `config`'s.
wire::EdgeHello MakeEdgeHello(const StageConfig& config, int to_stage);
// Asked by the stage that an edge leads to. Aborted for another epoch.
absl::Status CheckEdgeHello(const StageConfig& config, const wire::EdgeHello& hello);

wire::StageStats ToWire(const StageStats& stats);
StageStats FromWire(const wire::StageStats& stats);

wire::Failure ToWire(const absl::Status& status);
// Never OK. The text is cut to kMaxErrorBytes, and control characters in it are replaced: it will
// be printed on somebody's terminal.
absl::Status FromWire(const wire::Failure& failure);

// The first 12 hexadecimal digits, as errors and logs show a model.
std::string ShortId(const ModelIdentity& identity);

}  // namespace baton

#endif  // BATON_PROTO_HANDSHAKE_H_
