#include "engine/quant/file_type.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "engine/base/check.h"

namespace baton {
namespace {

// Every matrix but the output's.
constexpr FileType Plain(const char* name, uint32_t id, TensorType type, TensorType output) {
  return {name, id, type, output, type, type};
}

// What general.file_type is where it was not written down: F64 has no id.
constexpr uint32_t kNoFileType = 1024;

constexpr FileType kFileTypes[] = {
    Plain("F32", 0, TensorType::kF32, TensorType::kF32),
    Plain("F16", 1, TensorType::kF16, TensorType::kF16),
    Plain("BF16", 32, TensorType::kBF16, TensorType::kBF16),
    Plain("Q4_0", 2, TensorType::kQ4_0, TensorType::kQ6_K),
    Plain("Q4_1", 3, TensorType::kQ4_1, TensorType::kQ6_K),
    Plain("Q5_0", 8, TensorType::kQ5_0, TensorType::kQ6_K),
    Plain("Q5_1", 9, TensorType::kQ5_1, TensorType::kQ6_K),
    Plain("Q8_0", 7, TensorType::kQ8_0, TensorType::kQ8_0),
    Plain("Q2_K", 10, TensorType::kQ2_K, TensorType::kQ6_K),
    Plain("Q3_K", 11, TensorType::kQ3_K, TensorType::kQ6_K),
    Plain("Q4_K", 14, TensorType::kQ4_K, TensorType::kQ6_K),
    Plain("Q5_K", 16, TensorType::kQ5_K, TensorType::kQ6_K),
    Plain("Q6_K", 18, TensorType::kQ6_K, TensorType::kQ6_K),
    Plain("IQ1_S", 24, TensorType::kIQ1_S, TensorType::kQ6_K),
    Plain("IQ1_M", 31, TensorType::kIQ1_M, TensorType::kQ6_K),
    Plain("IQ2_XXS", 19, TensorType::kIQ2_XXS, TensorType::kQ6_K),
    Plain("IQ2_XS", 20, TensorType::kIQ2_XS, TensorType::kQ6_K),
    Plain("IQ2_S", 28, TensorType::kIQ2_S, TensorType::kQ6_K),
    Plain("IQ3_XXS", 23, TensorType::kIQ3_XXS, TensorType::kQ6_K),
    Plain("IQ3_S", 26, TensorType::kIQ3_S, TensorType::kQ6_K),
    Plain("IQ4_NL", 25, TensorType::kIQ4_NL, TensorType::kQ6_K),
    Plain("IQ4_XS", 30, TensorType::kIQ4_XS, TensorType::kQ6_K),
    Plain("TQ1_0", 36, TensorType::kTQ1_0, TensorType::kQ6_K),
    Plain("TQ2_0", 37, TensorType::kTQ2_0, TensorType::kQ6_K),
    Plain("MXFP4", 38, TensorType::kMXFP4, TensorType::kQ8_0),
    Plain("NVFP4", 39, TensorType::kNVFP4, TensorType::kQ8_0),
    Plain("Q1_0", 40, TensorType::kQ1_0, TensorType::kQ6_K),
    Plain("Q2_0", 41, TensorType::kQ2_0, TensorType::kQ6_K),
    {"Q4_K_M", 15, TensorType::kQ4_K, TensorType::kQ6_K, TensorType::kQ5_K, TensorType::kQ6_K},
    {"Q5_K_M", 17, TensorType::kQ5_K, TensorType::kQ6_K, TensorType::kQ6_K, TensorType::kQ6_K},
};

// The first and the last eighth of the layers, and every third between them.
bool IsEarlyOrLate(int layer, int layer_count) {
  const int eighth = layer_count / 8;
  return layer < eighth || layer >= 7 * layer_count / 8 || (layer - eighth) % 3 == 2;
}

// The layer of "blk.7.attn_v.weight"; -1 for a tensor of no layer.
int LayerOf(absl::string_view name) {
  int layer = -1;
  if (!absl::ConsumePrefix(&name, "blk.")) return -1;
  return absl::SimpleAtoi(name.substr(0, name.find('.')), &layer) ? layer : -1;
}

TensorType Wanted(const FileType& file_type, absl::string_view name, const MixContext& context) {
  if (name == "output.weight" || (context.tied_output && name == "token_embd.weight")) {
    return file_type.output;
  }
  if (absl::StrContains(name, "attn_qkv.")) return file_type.fused_qkv;
  const bool gains = absl::StrContains(name, "attn_v.") || absl::StrContains(name, "ffn_down");
  const int layer = LayerOf(name);
  if (gains && layer >= 0 && IsEarlyOrLate(layer, context.layer_count)) {
    return file_type.early_or_late;
  }
  return file_type.matrix;
}

// For rows that blocks of 256 do not divide: blocks of 32 with as many bits, or a few more.
TensorType SmallerBlocks(TensorType type) {
  switch (type) {
    case TensorType::kQ2_K:
    case TensorType::kQ3_K:
      return TensorType::kQ4_0;
    case TensorType::kQ4_K:
      return TensorType::kQ5_0;
    case TensorType::kQ5_K:
      return TensorType::kQ5_1;
    case TensorType::kQ6_K:
      return TensorType::kQ8_0;
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M:
    case TensorType::kIQ2_XXS:
    case TensorType::kIQ2_XS:
    case TensorType::kIQ2_S:
    case TensorType::kIQ3_XXS:
    case TensorType::kIQ3_S:
    case TensorType::kIQ4_XS:
      return TensorType::kIQ4_NL;
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0:
      return TensorType::kQ4_0;
    default:
      return TensorType::kF16;
  }
}

}  // namespace

absl::Span<const FileType> AllFileTypes() { return kFileTypes; }

const FileType* FindFileType(absl::string_view name) {
  for (const FileType& file_type : kFileTypes) {
    if (absl::EqualsIgnoreCase(name, file_type.name)) return &file_type;
  }
  return nullptr;
}

FileType PureFileType(TensorType type) {
  const char* name = TraitsOf(type).name;
  const FileType* file_type = FindFileType(name);
  return Plain(name, file_type != nullptr ? file_type->id : kNoFileType, type, type);
}

bool IsQuantizable(absl::string_view name, int dim_count) {
  return dim_count >= 2 && absl::EndsWith(name, "weight") &&
         !absl::StrContains(name, "_norm.weight") && !absl::StrContains(name, "ffn_gate_inp.");
}

TensorType ChooseTensorType(const FileType& file_type, absl::string_view name,
                            uint64_t row_elements, const MixContext& context) {
  TensorType type = Wanted(file_type, name, context);
  while (row_elements % TraitsOf(type).block_elements != 0) type = SmallerBlocks(type);
  return type;
}

}  // namespace baton
