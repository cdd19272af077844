// A vocabulary as a GGUF file brings it: plain data, and the rules that it must keep.
//
// Keys and types: the GGUF specification, "tokenizer.ggml.*". Separate from the file, so that
// tokenizers can be tested with vocabularies made in code.
#ifndef BATON_ENGINE_TOKENIZER_VOCABULARY_H_
#define BATON_ENGINE_TOKENIZER_VOCABULARY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace baton {

// The values are on-disk ids (tokenizer.ggml.token_type): do not change them.
enum class TokenType : uint8_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,      // stands for text that has no token
  kControl = 3,      // not text: <s>, <|im_end|>
  kUserDefined = 4,  // text, taken whole wherever it occurs
  kUnused = 5,
  kByte = 6,  // <0xHH>
};
inline constexpr int kMaxTokenType = 6;

// Ids are int32; sixty times the largest published vocabulary (262144).
inline constexpr size_t kMaxVocabularySize = size_t{1} << 24;

inline constexpr char kSpmModel[] = "llama";
inline constexpr char kBpeModel[] = "gpt2";

struct Vocabulary {
  std::string model;               // tokenizer.ggml.model
  std::optional<std::string> pre;  // tokenizer.ggml.pre; BPE only
  std::string name;                // general.name: some token properties stand nowhere else

  std::vector<std::string> tokens;  // SPM: U+2581 for a space; BPE: bytes as in byte_alphabet.h
  std::vector<float> scores;        // one for each token, or none at all
  std::vector<TokenType> types;     // one for each token, or none at all: all normal
  std::vector<std::string> merges;  // "left right", best first; BPE only

  // tokenizer.ggml.*_token_id. Absent: the tokenizer's defaults hold.
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  std::optional<int32_t> unknown;
  std::optional<int32_t> end_of_turn;
  std::optional<int32_t> end_of_message;
  std::optional<int32_t> fill_pad;
  std::optional<int32_t> fill_repository;
  std::optional<int32_t> fill_separator;

  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
  std::optional<bool> add_space_prefix;

  TokenType type(int32_t id) const { return types.empty() ? TokenType::kNormal : types[id]; }
};

// InvalidArgument naming the first contradiction: no tokens, arrays of other lengths, NaN scores,
// a token that occurs twice, byte tokens that are none, ids outside, merges that are no pairs.
// Empty tokens are let through: published files have them as padding, and no text has them.
absl::Status ValidateVocabulary(const Vocabulary& vocabulary);

// The byte of "<0xHH>"; nullopt for any other text.
std::optional<uint8_t> ParseByteToken(absl::string_view text);

// Splits "left right" at its first space after the first byte. False where a side is empty.
bool SplitMerge(absl::string_view merge, absl::string_view* left, absl::string_view* right);

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_VOCABULARY_H_
