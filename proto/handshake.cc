#include "proto/handshake.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "proto/bounds.h"

namespace baton {
namespace {

absl::Status CheckRange(absl::string_view name, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, ", expected ", low, " to ", high));
}

absl::Status CheckName(absl::string_view name, absl::string_view value) {
  const bool printable =
      std::all_of(value.begin(), value.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (value.size() <= kMaxNameBytes && printable) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " of ", value.size(),
                                                 " bytes is not printable text of at most ",
                                                 kMaxNameBytes, " bytes"));
}

absl::StatusOr<ModelIdentity> ParseIdentity(absl::string_view bytes) {
  ModelIdentity identity;
  RETURN_IF_ERROR(
      CheckRange("bytes of the model identity", bytes.size(), identity.size(), identity.size()));
  std::memcpy(identity.data(), bytes.data(), identity.size());
  return identity;
}

std::string IdentityBytes(const ModelIdentity& identity) {
  return std::string(identity.begin(), identity.end());
}

absl::Status CheckConfigureBounds(const wire::ConfigureRequest& request) {
  RETURN_IF_ERROR(CheckRange("stage count", request.stage_count(), 1, kMaxStages));
  RETURN_IF_ERROR(CheckRange("stage index", request.stage_index(), 0, request.stage_count() - 1));
  RETURN_IF_ERROR(CheckRange("layer count", request.layer_count(), 1, kMaxModelLayers));
  RETURN_IF_ERROR(CheckRange("end layer", request.end_layer(), 1, request.layer_count()));
  RETURN_IF_ERROR(CheckRange("first layer", request.first_layer(), 0, request.end_layer() - 1));
  RETURN_IF_ERROR(CheckRange("width", request.width(), 1, kMaxWidth));
  RETURN_IF_ERROR(CheckRange("vocabulary size", request.vocabulary_size(), 1, kMaxVocabulary));
  RETURN_IF_ERROR(
      CheckRange("cache groups", request.kv_block_counts_size(), 1, request.layer_count()));
  for (const uint32_t count : request.kv_block_counts()) {
    RETURN_IF_ERROR(CheckRange("KV block count", count, 1, kMaxKvBlocks));
  }
  RETURN_IF_ERROR(CheckRange("context length", request.context_length(), 1, kMaxPositions));
  RETURN_IF_ERROR(CheckRange("asked context", request.asked_context(), 0, kMaxPositions));
  RETURN_IF_ERROR(CheckRange("shared logits", request.shared_logits(), 0,
                             std::min<int64_t>(request.vocabulary_size() - 1, kMaxSharedLogits)));
  RETURN_IF_ERROR(CheckRange("window", request.window(), 1, kMaxWindow));
  RETURN_IF_ERROR(CheckName("KV type", request.kv_type()));
  RETURN_IF_ERROR(CheckName("activations", request.activations()));
  return CheckName("next stage's address", request.next_address());
}

// What only the ends of a chain have: the embedding, the head, nobody behind.
absl::Status CheckPlace(const StageConfig& config) {
  if (config.role.embedding != (config.stage_index == 0)) {
    return absl::InvalidArgumentError(absl::StrCat("stage ", config.stage_index,
                                                   config.role.embedding ? " has" : " lacks",
                                                   " the embedding; expected at stage 0 alone"));
  }
  if (config.role.head != config.is_last() || config.next_address.empty() != config.is_last()) {
    return absl::InvalidArgumentError(
        absl::StrCat("stage ", config.stage_index, " of ", config.stage_count,
                     config.role.head ? " has the head" : " lacks the head", " and ",
                     config.next_address.empty() ? "no next stage" : "a next stage",
                     "; expected the head at the last stage alone"));
  }
  const bool may_share = config.stage_count > 1 && config.stage_index + 2 >= config.stage_count;
  if (config.role.shared_logits == 0 || may_share) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("stage ", config.stage_index, " of ",
                                                 config.stage_count,
                                                 " shares the head; expected "
                                                 "the last two of at least two stages alone"));
}

// Of an edge between two stages: those into the last one know of a shared head.
int32_t SharedLogitsInto(const StageConfig& config, int to_stage) {
  return to_stage + 1 == config.stage_count ? config.role.shared_logits : 0;
}

absl::Status Differ(absl::string_view what, absl::string_view theirs, absl::string_view ours) {
  if (theirs == ours) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the previous stage has ", what, " ", theirs, ", this stage has ", ours));
}

}  // namespace

wire::ConfigureRequest ToWire(const StageConfig& config) {
  wire::ConfigureRequest request;
  ToWire(config.versions, request.mutable_versions());
  request.set_epoch(config.epoch);
  request.set_model_identity(IdentityBytes(config.model_identity));
  request.set_stage_index(config.stage_index);
  request.set_stage_count(config.stage_count);
  request.set_first_layer(config.role.layers.begin);
  request.set_end_layer(config.role.layers.end);
  request.set_embedding(config.role.embedding);
  request.set_head(config.role.head);
  request.set_layer_count(config.layer_count);
  request.set_width(config.width);
  request.set_vocabulary_size(config.vocabulary_size);
  request.set_kv_type(config.kv_type);
  request.set_activations(config.activations);
  request.mutable_kv_block_counts()->Add(config.kv_block_counts.begin(),
                                         config.kv_block_counts.end());
  request.set_context_length(config.context_length);
  request.set_asked_context(config.asked_context);
  request.set_window(config.window);
  request.set_next_address(config.next_address);
  request.set_shared_logits(config.role.shared_logits);
  return request;
}

absl::StatusOr<StageConfig> FromWire(const wire::ConfigureRequest& request, const Versions& ours) {
  RETURN_IF_ERROR(CheckVersions(ours, request.versions(), "the coordinator"));
  RETURN_IF_ERROR(CheckConfigureBounds(request));
  StageConfig config;
  config.versions = ours;
  config.epoch = request.epoch();
  ASSIGN_OR_RETURN(config.model_identity, ParseIdentity(request.model_identity()));
  config.stage_index = request.stage_index();
  config.stage_count = request.stage_count();
  config.role.layers.begin = request.first_layer();
  config.role.layers.end = request.end_layer();
  config.role.embedding = request.embedding();
  config.role.head = request.head();
  config.role.shared_logits = request.shared_logits();
  config.layer_count = request.layer_count();
  config.width = request.width();
  config.vocabulary_size = request.vocabulary_size();
  config.kv_type = request.kv_type();
  config.activations = request.activations();
  config.kv_block_counts.assign(request.kv_block_counts().begin(), request.kv_block_counts().end());
  config.context_length = request.context_length();
  config.asked_context = request.asked_context();
  config.window = request.window();
  config.next_address = request.next_address();
  RETURN_IF_ERROR(CheckPlace(config));
  return config;
}

void ToWire(const Versions& versions, wire::Versions* out) {
  out->set_protocol(versions.protocol);
  out->set_numeric(versions.numeric);
}

absl::Status CheckVersions(const Versions& ours, const wire::Versions& theirs,
                           absl::string_view who) {
  const char* what = nullptr;
  uint32_t found = 0, expected = 0;
  if (theirs.protocol() != ours.protocol) {
    what = "protocol version";
    found = theirs.protocol();
    expected = ours.protocol;
  } else if (theirs.numeric() != ours.numeric) {
    what = "numeric contract revision";
    found = theirs.numeric();
    expected = ours.numeric;
  }
  if (what == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(who, " was built with ", what, " ", found,
                                                    ", expected ", expected,
                                                    ": both sides need the same build"));
}

wire::EdgeHello MakeEdgeHello(const StageConfig& config, int to_stage) {
  wire::EdgeHello hello;
  ToWire(config.versions, hello.mutable_versions());
  hello.set_epoch(config.epoch);
  hello.set_model_identity(IdentityBytes(config.model_identity));
  hello.set_to_stage(to_stage);
  hello.set_width(config.width);
  hello.set_kv_type(config.kv_type);
  hello.set_activations(config.activations);
  hello.set_shared_logits(SharedLogitsInto(config, to_stage));
  return hello;
}

absl::Status CheckEdgeHello(const StageConfig& config, const wire::EdgeHello& hello) {
  RETURN_IF_ERROR(CheckVersions(config.versions, hello.versions(), "the previous stage"));
  if (hello.epoch() != config.epoch) {
    return absl::AbortedError(absl::StrCat("the previous stage is of epoch ", hello.epoch(),
                                           ", this stage of epoch ", config.epoch));
  }
  ASSIGN_OR_RETURN(const ModelIdentity identity, ParseIdentity(hello.model_identity()));
  RETURN_IF_ERROR(Differ("model", ShortId(identity), ShortId(config.model_identity)));
  if (identity != config.model_identity) {
    return absl::FailedPreconditionError("the previous stage has another model");
  }
  RETURN_IF_ERROR(Differ("as its next the stage", absl::StrCat(hello.to_stage()),
                         absl::StrCat(config.stage_index)));
  RETURN_IF_ERROR(Differ("width", absl::StrCat(hello.width()), absl::StrCat(config.width)));
  RETURN_IF_ERROR(CheckName("KV type", hello.kv_type()));
  RETURN_IF_ERROR(CheckName("activations", hello.activations()));
  RETURN_IF_ERROR(Differ("KV type", hello.kv_type(), config.kv_type));
  RETURN_IF_ERROR(Differ("activations", hello.activations(), config.activations));
  return Differ("shared logits", absl::StrCat(hello.shared_logits()),
                absl::StrCat(SharedLogitsInto(config, config.stage_index)));
}

wire::StageStats ToWire(const StageStats& stats) {
  wire::StageStats out;
  out.set_weight_bytes(stats.weight_bytes);
  out.set_read_bytes(stats.read_bytes);
  out.set_resident_bytes(stats.resident_bytes);
  return out;
}

StageStats FromWire(const wire::StageStats& stats) {
  return {.weight_bytes = stats.weight_bytes(),
          .read_bytes = stats.read_bytes(),
          .resident_bytes = stats.resident_bytes()};
}

wire::Failure ToWire(const absl::Status& status) {
  wire::Failure failure;
  failure.set_code(static_cast<int>(status.code()));
  failure.set_message(std::string(status.message().substr(0, kMaxErrorBytes)));
  return failure;
}

absl::Status FromWire(const wire::Failure& failure) {
  std::string text = failure.message().substr(0, kMaxErrorBytes);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  const int code = failure.code();
  const bool known = code > 0 && code <= static_cast<int>(absl::StatusCode::kUnauthenticated);
  return absl::Status(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                      text);
}

std::string ShortId(const ModelIdentity& identity) {
  const std::string head(identity.begin(), identity.begin() + 6);
  return absl::BytesToHexString(head);
}

}  // namespace baton
