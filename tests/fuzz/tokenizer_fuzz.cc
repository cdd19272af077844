// Any text through tokenizers of several kinds: byte 0 chooses one, byte 1 the options.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/memory_file.h"

namespace baton {
namespace {

constexpr const char* kPreTokenizers[] = {"gpt-2", "smollm", "llama-bpe", "qwen2"};

std::unique_ptr<Tokenizer> Make(const GgufWriter& writer) {
  const std::string bytes = writer.Bytes();
  const MemoryFile file(bytes.data(), bytes.size());
  const auto gguf = GgufFile::Read(file.path());
  CHECK(gguf.ok());
  auto tokenizer = Tokenizer::Create(*gguf);
  CHECK(tokenizer.ok());
  return *std::move(tokenizer);
}

// The characters by which byte-level BPE writes bytes: printable ones stand for themselves, the
// others for those from U+0100 on, in order.
std::string ByteToken(int byte) {
  static const std::vector<int>* const points = [] {
    auto* made = new std::vector<int>;
    int next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      made->push_back(prints ? b : next++);
    }
    return made;
  }();
  const int point = (*points)[byte];
  if (point < 0x80) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
}

std::unique_ptr<Tokenizer> MakeBpe(const char* pre) {
  GgufWriter writer;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(ByteToken(byte));
  const std::string space = ByteToken(' ');
  for (const char* word : {"th", "the", "an", "12", "\xc3\x83\xc2\xa9"}) {
    tokens.push_back(word);
  }
  tokens.push_back(space + "a");
  tokens.push_back("<|end|>");
  std::vector<int32_t> types(tokens.size(), 1);
  types.back() = 3;
  writer.SetString("tokenizer.ggml.model", "gpt2");
  writer.SetString("tokenizer.ggml.pre", pre);
  writer.SetStrings("tokenizer.ggml.tokens", tokens);
  writer.SetI32s("tokenizer.ggml.token_type", types);
  writer.SetStrings("tokenizer.ggml.merges",
                    {"t h", "th e", "a n", "1 2", "\xc3\x83 \xc2\xa9", space + " a"});
  return Make(writer);
}

std::unique_ptr<Tokenizer> MakeSpm() {
  GgufWriter writer;
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(absl::StrFormat("<0x%02X>", byte));
    types.push_back(6);
  }
  for (const char* piece : {"\u2581", "a", "b", "c", "ab", "\u2581a", "abc", "\u2581\u2581", "é"}) {
    tokens.push_back(piece);
    types.push_back(1);
  }
  std::vector<float> scores;
  for (size_t i = 0; i < tokens.size(); ++i) scores.push_back(-static_cast<float>(i % 7));
  writer.SetString("tokenizer.ggml.model", "llama");
  writer.SetStrings("tokenizer.ggml.tokens", tokens);
  writer.SetI32s("tokenizer.ggml.token_type", types);
  writer.SetF32s("tokenizer.ggml.scores", scores);
  return Make(writer);
}

const std::vector<std::unique_ptr<Tokenizer>>& Tokenizers() {
  static const auto* const tokenizers = [] {
    auto* made = new std::vector<std::unique_ptr<Tokenizer>>;
    made->push_back(MakeSpm());
    for (const char* pre : kPreTokenizers) made->push_back(MakeBpe(pre));
    return made;
  }();
  return *tokenizers;
}

// Half of the text is ours, half a user's.
std::vector<TextPiece> Halves(absl::string_view text) {
  return {{std::string(text.substr(0, text.size() / 2)), true},
          {std::string(text.substr(text.size() / 2)), false}};
}

void Tokenize(int choice, int flags, absl::string_view text) {
  const size_t index = static_cast<size_t>(choice) % Tokenizers().size();
  const Tokenizer& tokenizer = *Tokenizers()[index];
  const TokenizeOptions options = {(flags & 1) != 0, (flags & 2) != 0};
  std::vector<int32_t> ids = tokenizer.Encode(text, options);
  for (const int32_t id : ids) CHECK(id >= 0 && id < tokenizer.vocabulary_size());
  const std::string decoded = tokenizer.Decode(ids, true);
  // Byte-level BPE loses nothing of a text.
  const bool is_bpe = index > 0;
  if (is_bpe && !options.add_special) CHECK(decoded == text);
  for (const int32_t id : tokenizer.EncodePieces(Halves(text), options.add_special)) {
    CHECK(id >= 0 && id < tokenizer.vocabulary_size());
  }
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  const std::string texts[] = {
      "the  an 12345 it's\n\n  a\tb", "caf\u00e9 \u4f60\u597d \U0001f600 e\u0301 \u2581",
      "<s>abc</s> <|end|>the <0x41>", "\xff\xc3(\xe2\x82 a", "DON'T I'll 've"};
  for (size_t tokenizer = 0; tokenizer < Tokenizers().size(); ++tokenizer) {
    for (const std::string& text : texts) {
      seeds.push_back(std::string({static_cast<char>(tokenizer), '\2'}) + text);
    }
  }
  return seeds;
}

}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  baton::Tokenize(data[0], data[1], {reinterpret_cast<const char*>(data) + 2, size - 2});
  return 0;
}
