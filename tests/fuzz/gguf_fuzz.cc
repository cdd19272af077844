// A file of any bytes: its header, what model it is, its tokenizer, and whether weights are
// numbers.
#include <algorithm>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/gguf/gguf_file.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/gguf/problem.h"
#include "engine/model/model_spec.h"
#include "engine/quant/dequantize.h"
#include "engine/testing/architecture_models.h"
#include "engine/testing/model_maker.h"
#include "engine/testing/small_vocabulary.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/memory_file.h"

namespace baton {
namespace {

// Decodes the first block of every tensor that is a weight.
void ReadFirstBlocks(const GgufFile& file) {
  for (const TensorInfo& tensor : file.tensors()) {
    const TypeTraits& traits = TraitsOf(tensor.type);
    if (!traits.is_weight || tensor.bytes == 0) continue;
    std::vector<uint8_t> block(traits.block_bytes);
    if (!file.FileOf(tensor).ReadAt(tensor.offset, block.data(), block.size()).ok()) continue;
    FindNonFinite(tensor.type, block.data(), traits.block_elements);
    std::vector<float> weights(traits.block_elements);
    Dequantize(tensor.type, block.data(), weights.size(), weights.data());
  }
}

void ReadAll(const std::string& path) {
  ProblemList problems;
  const std::optional<GgufFile> diagnosed = GgufFile::Diagnose(path, &problems);
  if (diagnosed) ModelSpec::Diagnose(*diagnosed, &problems);
  const absl::StatusOr<GgufFile> file = GgufFile::Read(path);
  if (!file.ok()) return;
  CHECK(diagnosed.has_value());
  ReadFirstBlocks(*file);
  ModelSpec::Read(*file).IgnoreError();
  const auto tokenizer = Tokenizer::Create(*file);
  if (!tokenizer.ok()) return;
  const std::vector<int32_t> ids = (*tokenizer)->Encode("a b\xc3\xa9</s>", TokenizeOptions());
  (*tokenizer)->Decode(ids, true);
}

std::string ReadBytes(const std::string& path) {
  const auto file = RandomAccessFile::Open(path);
  CHECK(file.ok());
  std::string bytes((*file)->size(), '\0');
  CHECK((*file)->ReadAt(0, bytes.data(), bytes.size()).ok());
  return bytes;
}

// Few tokens and no weights to speak of: small inputs are found faster.
std::string Vocabulary(const std::string& model) {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetString("tokenizer.ggml.model", model);
  if (model == "gpt2") {
    writer.SetString("tokenizer.ggml.pre", "smollm");
    writer.SetStrings("tokenizer.ggml.tokens", {"a", "b", "ab", "</s>"});
    writer.SetStrings("tokenizer.ggml.merges", {"a b"});
  } else {
    writer.SetStrings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0x61>", "a"});
    writer.SetF32s("tokenizer.ggml.scores", {0, 0, 0, 0, -1});
    writer.SetI32s("tokenizer.ggml.token_type", {2, 3, 3, 6, 1});
  }
  writer.SetU32("tokenizer.ggml.bos_token_id", 1);
  writer.SetBool("tokenizer.ggml.add_bos_token", true);
  writer.SetAlignment(64);
  writer.AddTensor("token_embd.weight", TensorType::kNVFP4, {64, 4});
  writer.AddTensor("output_norm.weight", TensorType::kF32, {64});
  return writer.Bytes();
}

std::string OneLayer(int expert_count) {
  ModelOptions options;
  options.layer_count = 1;
  options.width = 8;
  options.head_count = options.kv_head_count = 2;
  options.feed_forward_size = 8;
  options.vocabulary_size = kMinVocabulary;
  options.tied_output = true;
  options.expert_count = expert_count;
  options.rope = expert_count > 0 ? RopeVariant::kYarn : RopeVariant::kPlain;
  const MemoryFile file("", 0);
  CHECK(WriteModel(options, file.path()).ok());
  return ReadBytes(file.path());
}

// Blocks of four bits, since keys and tensors count here and not their bytes.
std::string ModelOf(const ArchitectureModel& variant) {
  const MemoryFile file("", 0);
  const TinyModelOptions options = {.seed = variant.seed, .type = TensorType::kQ4_0};
  CHECK(WriteArchitectureModel(variant, options, file.path()).ok());
  return ReadBytes(file.path());
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds = {Vocabulary("llama"), Vocabulary("gpt2"), OneLayer(0),
                                    OneLayer(3)};
  for (const ArchitectureModel& variant : AllArchitectureModels()) {
    seeds.push_back(ModelOf(variant));
  }
  return seeds;
}

}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  baton::ReadAll(baton::MemoryFile(data, size).path());
  return 0;
}
