#include "engine/testing/small_vocabulary.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"

namespace baton {
namespace {

// The pieces after the byte tokens, the likeliest first: a space, characters, then pieces that
// are two known pieces put together, as a merging tokenizer needs them.
std::vector<std::string> MakePieces(size_t count) {
  const std::string space = "\u2581";
  std::vector<std::string> pieces = {space};
  const std::string letters = "etaoinshrdlucmfwypvbgkjqxz";
  for (const char c : letters) pieces.emplace_back(1, c);
  for (const char c : std::string("ETAOINSHRDLUCMFWYPVBGKJQXZ0123456789.,!?'-:;\"()")) {
    pieces.emplace_back(1, c);
  }
  for (const char* piece : {"th", "he", "in", "er", "on", "an", "the", "and", "ing"}) {
    pieces.emplace_back(piece);
  }
  for (const char* piece : {"t", "a", "th", "the", "an", "and", "s", "w", "o", "i", "in"}) {
    pieces.push_back(space + piece);
  }
  std::set<std::string> known(pieces.begin(), pieces.end());
  for (size_t first = 1; pieces.size() < count; ++first) {
    for (const char c : letters) {
      std::string piece = pieces[first] + c;
      if (known.insert(piece).second) pieces.push_back(std::move(piece));
    }
  }
  pieces.resize(count);
  return pieces;
}

}  // namespace

void SetSmallVocabulary(int size, GgufWriter* writer) {
  enum TokenType { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {kUnknown, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(absl::StrFormat("<0x%02X>", byte));
  types.resize(tokens.size(), kByte);
  std::vector<float> scores(tokens.size(), 0.0f);
  for (std::string& piece : MakePieces(static_cast<size_t>(size) - tokens.size())) {
    scores.push_back(-static_cast<float>(scores.size() - kMinVocabulary));
    tokens.push_back(std::move(piece));
  }
  types.resize(tokens.size(), kNormal);
  writer->SetString("tokenizer.ggml.model", "llama");
  writer->SetStrings("tokenizer.ggml.tokens", std::move(tokens));
  writer->SetF32s("tokenizer.ggml.scores", scores);
  writer->SetI32s("tokenizer.ggml.token_type", types);
  writer->SetU32("tokenizer.ggml.unknown_token_id", 0);
  writer->SetU32("tokenizer.ggml.bos_token_id", 1);
  writer->SetU32("tokenizer.ggml.eos_token_id", 2);
  writer->SetBool("tokenizer.ggml.add_bos_token", true);
  writer->SetBool("tokenizer.ggml.add_eos_token", false);
}

}  // namespace baton
