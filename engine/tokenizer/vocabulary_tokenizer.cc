#include "engine/tokenizer/vocabulary_tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "engine/base/check.h"
#include "engine/tokenizer/end_markers.h"

namespace baton {
namespace {

// Phi-3's tokenizer_config.json gives its added tokens "rstrip", which GGUF has no place for: the
// model is known by its name. These three do not have it.
bool StripsRight(const Vocabulary& vocabulary, const std::string& token) {
  const std::string name = absl::AsciiStrToLower(vocabulary.name);
  if (!absl::StrContains(name, "phi-3") && !absl::StrContains(name, "phi3")) return false;
  return token != "<unk>" && token != "<s>" && token != "<|endoftext|>";
}

std::vector<SpecialToken> FindSpecialTokens(const Vocabulary& vocabulary) {
  std::vector<SpecialToken> special;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const TokenType type = vocabulary.type(id);
    const bool is_text = type == TokenType::kUserDefined;
    if (!is_text && type != TokenType::kControl && type != TokenType::kUnknown) continue;
    const std::string& token = vocabulary.tokens[id];
    if (token.empty()) continue;
    special.push_back({token, static_cast<int32_t>(id), is_text, StripsRight(vocabulary, token)});
  }
  return special;
}

}  // namespace

VocabularyTokenizer::VocabularyTokenizer(Vocabulary vocabulary, const TokenizerDefaults& defaults)
    : vocabulary_(std::move(vocabulary)),
      bos_(vocabulary_.bos ? vocabulary_.bos : defaults.bos),
      eos_(vocabulary_.eos ? vocabulary_.eos : defaults.eos),
      unknown_(vocabulary_.unknown ? vocabulary_.unknown : defaults.unknown),
      special_tokens_({}) {
  for (std::optional<int32_t>* id : {&bos_, &eos_, &unknown_}) {
    if (*id && !IsInside(**id)) id->reset();
  }
  adds_bos_ = vocabulary_.add_bos.value_or(defaults.adds_bos) && bos_.has_value();
  adds_eos_ = vocabulary_.add_eos.value_or(false) && eos_.has_value();
  end_ids_ = MarkEndTokens(eos_, &vocabulary_);
  special_tokens_ = SpecialTokens(FindSpecialTokens(vocabulary_));
  ids_.reserve(vocabulary_.tokens.size());
  for (size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
    if (!vocabulary_.tokens[id].empty()) ids_.emplace(vocabulary_.tokens[id], id);
  }
}

std::optional<int32_t> VocabularyTokenizer::FindToken(absl::string_view text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

std::vector<int32_t> VocabularyTokenizer::Encode(absl::string_view text,
                                                 const TokenizeOptions& options) const {
  std::vector<TextRange> parsed;
  if (options.parse_special) parsed.push_back({0, text.size()});
  return EncodeRanges(text, parsed, options.add_special);
}

std::vector<int32_t> VocabularyTokenizer::EncodePieces(const std::vector<TextPiece>& pieces,
                                                       bool add_special) const {
  std::string text;
  std::vector<TextRange> parsed;
  for (const TextPiece& piece : pieces) {
    const size_t begin = text.size();
    text += piece.text;
    if (!piece.parse_special || piece.text.empty()) continue;
    if (!parsed.empty() && parsed.back().end == begin) {
      parsed.back().end = text.size();
    } else {
      parsed.push_back({begin, text.size()});
    }
  }
  return EncodeRanges(text, parsed, add_special);
}

std::vector<int32_t> VocabularyTokenizer::EncodeRanges(absl::string_view text,
                                                       const std::vector<TextRange>& parsed,
                                                       bool add_special) const {
  CHECK(text.size() <= kMaxTextBytes);
  std::vector<int32_t> ids;
  if (text.empty()) return ids;
  if (add_special && adds_bos_) ids.push_back(*bos_);
  bool starts = true;
  for (const Fragment& fragment : special_tokens_.Cut(text, parsed)) {
    if (fragment.id != kNoToken) {
      ids.push_back(fragment.id);
    } else {
      EncodeText(fragment.text, starts, &ids);
    }
    starts = fragment.id != kNoToken;
  }
  if (add_special && adds_eos_) ids.push_back(*eos_);
  return ids;
}

std::string VocabularyTokenizer::Piece(int32_t id, bool render_special) const {
  if (!IsInside(id)) return "";
  const std::string& token = vocabulary_.tokens[id];
  switch (vocabulary_.type(id)) {
    case TokenType::kNormal:
      return NormalPiece(token);
    case TokenType::kByte:
      if (const std::optional<uint8_t> byte = ParseByteToken(token)) {
        return std::string(1, static_cast<char>(*byte));
      }
      return NormalPiece(token);
    case TokenType::kUserDefined:
      return token;
    case TokenType::kControl:
    case TokenType::kUnknown:
      return render_special ? token : "";
    case TokenType::kUndefined:
    case TokenType::kUnused:
      return "";
  }
  return "";
}

std::string VocabularyTokenizer::Decode(const std::vector<int32_t>& ids,
                                        bool render_special) const {
  const size_t first = !ids.empty() && bos_ && ids[0] == *bos_ ? 1 : 0;
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    std::string piece = Piece(ids[i], render_special);
    if (i == first && adds_space_prefix() && absl::StartsWith(piece, " ")) piece.erase(0, 1);
    text += piece;
  }
  return text;
}

bool VocabularyTokenizer::IsEndOfGeneration(int32_t id) const {
  return std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

bool VocabularyTokenizer::IsControl(int32_t id) const {
  return IsInside(id) && vocabulary_.type(id) == TokenType::kControl;
}

}  // namespace baton
