#include "engine/tokenizer/read_vocabulary.h"

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "engine/tokenizer/tokenizer.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

template <typename T>
std::string Bytes(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string Text(const std::string& text) { return Bytes<uint64_t>(text.size()) + text; }

// A GGUF file of metadata alone: just enough of the format to hold a vocabulary.
class Metadata {
 public:
  Metadata& Add(const std::string& key, GgufType type, const std::string& value) {
    bytes_ += Text(key) + Bytes(type) + value;
    ++count_;
    return *this;
  }
  Metadata& String(const std::string& key, const std::string& value) {
    return Add(key, GgufType::kString, Text(value));
  }
  Metadata& U32(const std::string& key, uint32_t value) {
    return Add(key, GgufType::kU32, Bytes(value));
  }
  Metadata& Bool(const std::string& key, bool value) {
    return Add(key, GgufType::kBool, Bytes<uint8_t>(value));
  }
  Metadata& Strings(const std::string& key, const std::vector<std::string>& values) {
    std::string elements;
    for (const std::string& value : values) elements += Text(value);
    return Array(key, GgufType::kString, values.size(), elements);
  }
  template <typename T>
  Metadata& Numbers(const std::string& key, GgufType type, const std::vector<T>& values) {
    std::string elements;
    for (const T value : values) elements += Bytes(value);
    return Array(key, type, values.size(), elements);
  }

  GgufFile Read() const {
    const std::string path = testing::TempDir() + "/vocabulary.gguf";
    const std::string header = "GGUF" + Bytes<uint32_t>(3) + Bytes<uint64_t>(0) + Bytes(count_);
    std::ofstream(path, std::ios::binary) << header << bytes_ << std::string(64, '\0');
    auto file = GgufFile::Read(path);
    EXPECT_TRUE(file.ok()) << file.status();
    return std::move(*file);
  }

 private:
  Metadata& Array(const std::string& key, GgufType type, uint64_t size,
                  const std::string& elements) {
    return Add(key, GgufType::kArray, Bytes(type) + Bytes(size) + elements);
  }
  std::string bytes_;
  uint64_t count_ = 0;
};

Metadata Bpe() {
  return Metadata()
      .String("general.architecture", "llama")
      .String("general.name", "Tiny")
      .String("tokenizer.ggml.model", "gpt2")
      .String("tokenizer.ggml.pre", "smollm")
      .Strings("tokenizer.ggml.tokens", {"a", "b", "ab", "<|im_end|>"})
      .Numbers<int32_t>("tokenizer.ggml.token_type", GgufType::kI32, {1, 1, 1, 3})
      .Strings("tokenizer.ggml.merges", {"a b"})
      .U32("tokenizer.ggml.eos_token_id", 3)
      .Bool("tokenizer.ggml.add_bos_token", false);
}

TEST(ReadVocabularyTest, EveryField) {
  const auto vocabulary = ReadVocabulary(Bpe().Read());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->model, "gpt2");
  EXPECT_EQ(vocabulary->pre, "smollm");
  EXPECT_EQ(vocabulary->name, "Tiny");
  EXPECT_EQ(vocabulary->tokens.size(), 4u);
  EXPECT_EQ(vocabulary->type(3), TokenType::kControl);
  EXPECT_EQ(vocabulary->merges, (std::vector<std::string>{"a b"}));
  EXPECT_EQ(vocabulary->eos, 3);
  EXPECT_EQ(vocabulary->bos, std::nullopt);
  EXPECT_EQ(vocabulary->add_bos, false);
  EXPECT_EQ(vocabulary->add_eos, std::nullopt);
}

TEST(ReadVocabularyTest, ScoresAreFloatsOrIntegers) {
  const auto spm = [] {
    return Metadata()
        .String("general.architecture", "llama")
        .String("tokenizer.ggml.model", "llama")
        .Strings("tokenizer.ggml.tokens", {"a", "b"});
  };
  auto floats = ReadVocabulary(
      spm().Numbers<float>("tokenizer.ggml.scores", GgufType::kF32, {-1.5f, 2}).Read());
  ASSERT_TRUE(floats.ok()) << floats.status();
  EXPECT_EQ(floats->scores, (std::vector<float>{-1.5f, 2}));
  auto integers = ReadVocabulary(
      spm().Numbers<int32_t>("tokenizer.ggml.scores", GgufType::kI32, {-3, 4}).Read());
  ASSERT_TRUE(integers.ok()) << integers.status();
  EXPECT_EQ(integers->scores, (std::vector<float>{-3, 4}));
  EXPECT_TRUE(ReadVocabulary(spm().Read()).ok());
}

TEST(ReadVocabularyTest, AFileBecomesATokenizer) {
  const auto tokenizer = Tokenizer::Create(Bpe().Read());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->Encode("aba<|im_end|>", {}), (std::vector<int32_t>{2, 0, 3}));
}

void ExpectRefused(const Metadata& metadata, absl::StatusCode code, const std::string& words) {
  const absl::Status status = Tokenizer::Create(metadata.Read()).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
}

TEST(ReadVocabularyTest, Refusals) {
  const auto model = [](const char* name) {
    return Metadata().String("general.architecture", "llama").String("tokenizer.ggml.model", name);
  };
  ExpectRefused(Metadata().String("general.architecture", "llama"),
                absl::StatusCode::kInvalidArgument, "no tokenizer.ggml.model");
  ExpectRefused(model("bert"), absl::StatusCode::kFailedPrecondition, "'bert'; known are");
  ExpectRefused(model("llama"), absl::StatusCode::kInvalidArgument, "no tokenizer.ggml.tokens");
  ExpectRefused(model("gpt2").Strings("tokenizer.ggml.tokens", {"a"}),
                absl::StatusCode::kInvalidArgument, "no tokenizer.ggml.merges");
  ExpectRefused(model("llama")
                    .Strings("tokenizer.ggml.tokens", {"a"})
                    .Numbers<int32_t>("tokenizer.ggml.token_type", GgufType::kI32, {99}),
                absl::StatusCode::kInvalidArgument, "token_type[0] is 99");
  ExpectRefused(model("llama")
                    .Strings("tokenizer.ggml.tokens", {"a"})
                    .U32("tokenizer.ggml.eos_token_id", 0xFFFFFFFF),
                absl::StatusCode::kInvalidArgument, "eos_token_id is 4294967295");
}

}  // namespace
}  // namespace baton
