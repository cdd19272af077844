// Bounds on everything that crosses the wire. A number from a peer is compared with its bound
// before it sizes, indexes or counts anything.
#ifndef BATON_PROTO_BOUNDS_H_
#define BATON_PROTO_BOUNDS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/pipeline/batch.h"

namespace baton {

// Stages of a chain. Far above any model's layer count worth splitting; bounds fan-out and timings.
inline constexpr int kMaxStages = 256;
// Layers of a model. The deepest published ones have 126.
inline constexpr int kMaxModelLayers = 4096;
// Floats in a hidden row. The widest published model has 18,432.
inline constexpr int kMaxWidth = 65536;
// Tokens of a vocabulary. The largest published ones have 262,144.
inline constexpr int kMaxVocabulary = 1 << 21;
// Positions of one sequence. Keeps positions far from the end of int32.
inline constexpr int32_t kMaxPositions = 1 << 24;
// KV blocks of a stage in one cache group: at the smallest block that exists this is more than a
// machine's memory.
inline constexpr int32_t kMaxKvBlocks = 1 << 24;
// Sequences in one step.
inline constexpr int kMaxSpansPerStep = 4096;
// Entries of all block tables of a step together: 4 MiB of ids.
inline constexpr int64_t kMaxBlockIdsPerStep = 1 << 20;
// Steps that one stage may hold: received, computing or being sent. Covers a slow link's round
// trip.
inline constexpr int kMaxWindow = 256;
// Candidates whose log-probabilities come back for a token.
inline constexpr int kMaxTopLogprobs = 1024;
// Token ids in the outputs of a step: histories, biases, targets, candidates. With what belongs to
// each, out or back, they take 10 bytes at most and so fit a header.
inline constexpr int64_t kMaxOutputIdsPerStep = 1 << 20;

// Bytes of a frame's header: the largest batch (block ids and tokens at 5 bytes each) fits, and so
// does the sampling of a step (histories, biases).
inline constexpr size_t kMaxHeaderBytes = size_t{16} << 20;
// Bytes of a frame's payload: 4,096 rows of 8,192 floats, or the logits of 128 spans of 262,144.
inline constexpr size_t kMaxPayloadBytes = size_t{128} << 20;
// Logits of a row that a stage may compute for another: those of kMaxHeadRows rows fit a payload.
inline constexpr int kMaxSharedLogits = 1 << 20;
// Bytes of any message, as gRPC is told: its own default of 4 MiB is 256 rows of 4,096 floats.
inline constexpr size_t kMaxMessageBytes = 4 + kMaxHeaderBytes + kMaxPayloadBytes;

// Bytes of a message that is no step: a hello, a stage's configuration, what it says of itself. The
// first message of any stream is one, and it comes from whoever reaches a worker's port.
inline constexpr size_t kMaxControlBytes = size_t{64} << 10;

// Rows of a step whose hidden rows of so many floats fit a payload.
inline int32_t MostStepRows(int64_t width) {
  const int64_t fitting = static_cast<int64_t>(kMaxPayloadBytes / sizeof(float)) / width;
  return static_cast<int32_t>(std::min<int64_t>(kMaxBatchRows, fitting));
}

// Milliseconds that a stage may say it took or waited: eleven days. A sum of such stays a number.
inline constexpr double kMaxIntervalMs = 1e9;

// Bytes of an address or another short text.
inline constexpr size_t kMaxNameBytes = 512;
// Bytes of an error's text; a longer one is cut.
inline constexpr size_t kMaxErrorBytes = 2048;

}  // namespace baton

#endif  // BATON_PROTO_BOUNDS_H_
