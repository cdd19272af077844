#include "engine/tokenizer/end_markers.h"

#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace baton {
namespace {

constexpr absl::string_view kEndTexts[] = {"<|eot_id|>",
                                           "<|im_end|>",
                                           "<|end|>",
                                           "<|return|>",
                                           "<|call|>",
                                           "<|flush|>",
                                           "<|calls|>",
                                           "<end_of_turn>",
                                           "<|endoftext|>",
                                           "</s>",
                                           "<|eom_id|>",
                                           "<EOT>",
                                           "_<EOT>",
                                           "[EOT]",
                                           "[EOS]",
                                           "<|end_of_text|>",
                                           "<end_of_utterance>",
                                           "<eos>",
                                           "<turn|>",
                                           "<|tool_response>",
                                           "<｜end▁of▁sentence｜>",
                                           "<|end_of_sentence|>",
                                           "<|END_OF_TURN_TOKEN|>",
                                           "<|end_of_turn|>",
                                           "[e~["};

// Fill-in-the-middle: what pads or starts another file ends this one. First found counts.
constexpr absl::string_view kFillPadTexts[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>",
                                               "[PAD]"};
constexpr absl::string_view kFillRepositoryTexts[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>",
                                                      "<REPO>", "<reponame>"};
constexpr absl::string_view kFillSeparatorTexts[] = {"<|file_sep|>"};
// GLM's models end an answer by opening somebody else's turn. Others have tokens of these texts
// too.
constexpr absl::string_view kGlmStart = "[gMASK]";
constexpr absl::string_view kGlmTurnTexts[] = {"<|user|>", "<|observation|>"};
constexpr absl::string_view kHarmonyTexts[] = {"<|channel|>", "<|message|>", "<|start|>",
                                               "<|constrain|>"};

class Marker {
 public:
  explicit Marker(Vocabulary* vocabulary) : vocabulary_(*vocabulary) {
    for (size_t id = 0; id < vocabulary_.tokens.size(); ++id) ids_[vocabulary_.tokens[id]] = id;
  }

  std::optional<int32_t> Find(absl::string_view text) const {
    const auto found = ids_.find(text);
    return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
  }

  void SetType(int32_t id, TokenType type) {
    if (vocabulary_.types.empty()) {
      vocabulary_.types.assign(vocabulary_.tokens.size(), TokenType::kNormal);
    }
    vocabulary_.types[id] = type;
  }

  void AddId(std::optional<int32_t> id) {
    if (id) ends_.insert(*id);
  }

  void AddText(absl::string_view text) {
    if (const std::optional<int32_t> id = Find(text)) {
      ends_.insert(*id);
      SetType(*id, TokenType::kControl);
    }
  }

  template <size_t size>
  void AddFill(std::optional<int32_t> id, const absl::string_view (&texts)[size]) {
    if (id) return AddId(id);
    for (const absl::string_view text : texts) {
      if (Find(text)) return AddText(text);
    }
  }

  // In Harmony <|end|> ends a message and not the turn, in which more may follow.
  void KeepHarmonyGoing() {
    const auto ends = [this](absl::string_view text) { return Find(text).has_value(); };
    const std::optional<int32_t> end = Find("<|end|>");
    const bool calls = ends("<|call|>") || ends("<|calls|>");
    if (end && calls && (ends("<|return|>") || ends("<|flush|>"))) {
      ends_.erase(*end);
      SetType(*end, TokenType::kUserDefined);
    }
  }

  std::vector<int32_t> ends() const { return {ends_.begin(), ends_.end()}; }

 private:
  Vocabulary& vocabulary_;
  absl::flat_hash_map<absl::string_view, int32_t> ids_;
  std::set<int32_t> ends_;
};

}  // namespace

std::vector<int32_t> MarkEndTokens(std::optional<int32_t> eos, Vocabulary* vocabulary) {
  Marker marker(vocabulary);
  marker.AddFill(vocabulary->fill_pad, kFillPadTexts);
  marker.AddFill(vocabulary->fill_repository, kFillRepositoryTexts);
  marker.AddFill(vocabulary->fill_separator, kFillSeparatorTexts);
  for (const absl::string_view text : kEndTexts) marker.AddText(text);
  if (marker.Find(kGlmStart)) {
    for (const absl::string_view text : kGlmTurnTexts) marker.AddText(text);
  }
  for (const absl::string_view text : kHarmonyTexts) {
    if (const std::optional<int32_t> id = marker.Find(text)) {
      marker.SetType(*id, TokenType::kUserDefined);
    }
  }
  marker.AddId(eos);
  marker.AddId(vocabulary->end_of_turn);
  marker.AddId(vocabulary->end_of_message);
  marker.KeepHarmonyGoing();
  return marker.ends();
}

}  // namespace baton
