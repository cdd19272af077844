#include "engine/tokenizer/read_vocabulary.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace baton {
namespace {

std::string Key(absl::string_view name) { return absl::StrCat("tokenizer.ggml.", name); }

absl::StatusOr<std::vector<std::string>> ReadStrings(const GgufFile& file, absl::string_view name) {
  ASSIGN_OR_RETURN(const std::vector<std::string>* strings, file.GetStrings(Key(name)));
  if (strings == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the file has no ", Key(name)));
  }
  return *strings;
}

// Some converters write scores as integers.
absl::StatusOr<std::vector<float>> ReadScores(const GgufFile& file) {
  const GgufValue* value = file.FindValue(Key("scores"));
  if (value == nullptr) return std::vector<float>();
  if (value->is_array) {
    if (const auto* integers = std::get_if<std::vector<int64_t>>(&value->elements)) {
      return std::vector<float>(integers->begin(), integers->end());
    }
  }
  ASSIGN_OR_RETURN(std::optional<std::vector<float>> scores, file.GetFloats(Key("scores")));
  return scores ? std::move(*scores) : std::vector<float>();
}

absl::StatusOr<std::vector<TokenType>> ReadTypes(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::optional<std::vector<int64_t>> numbers,
                   file.GetIntegers(Key("token_type")));
  std::vector<TokenType> types;
  if (!numbers) return types;
  types.reserve(numbers->size());
  for (const int64_t number : *numbers) {
    if (number < 0 || number > kMaxTokenType) {
      return absl::InvalidArgumentError(absl::StrCat(Key("token_type"), "[", types.size(), "] is ",
                                                     number, ", expected 0 to ", kMaxTokenType));
    }
    types.push_back(static_cast<TokenType>(number));
  }
  return types;
}

absl::StatusOr<std::optional<int32_t>> ReadId(const GgufFile& file, absl::string_view name) {
  ASSIGN_OR_RETURN(const std::optional<uint32_t> id, file.GetU32(Key(absl::StrCat(name, "_id"))));
  // Ids above int32 become negative, which validation refuses.
  return id ? std::optional<int32_t>(static_cast<int32_t>(*id)) : std::nullopt;
}

absl::Status ReadIds(const GgufFile& file, Vocabulary* vocabulary) {
  const std::pair<const char*, std::optional<int32_t> Vocabulary::*> ids[] = {
      {"bos_token", &Vocabulary::bos},
      {"eos_token", &Vocabulary::eos},
      {"unknown_token", &Vocabulary::unknown},
      {"eot_token", &Vocabulary::end_of_turn},
      {"eom_token", &Vocabulary::end_of_message},
      {"fim_pad_token", &Vocabulary::fill_pad},
      {"fim_rep_token", &Vocabulary::fill_repository},
      {"fim_sep_token", &Vocabulary::fill_separator}};
  for (const auto& [name, field] : ids) {
    ASSIGN_OR_RETURN(vocabulary->*field, ReadId(file, name));
  }
  ASSIGN_OR_RETURN(vocabulary->add_bos, file.GetBool(Key("add_bos_token")));
  ASSIGN_OR_RETURN(vocabulary->add_eos, file.GetBool(Key("add_eos_token")));
  ASSIGN_OR_RETURN(vocabulary->add_space_prefix, file.GetBool(Key("add_space_prefix")));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Vocabulary> ReadVocabulary(const GgufFile& file) {
  Vocabulary vocabulary;
  ASSIGN_OR_RETURN(std::optional<std::string> model, file.GetString(Key("model")));
  if (!model) return absl::InvalidArgumentError("the file has no tokenizer.ggml.model");
  vocabulary.model = std::move(*model);
  if (vocabulary.model != kSpmModel && vocabulary.model != kBpeModel) {
    return absl::FailedPreconditionError(absl::StrCat("tokenizer.ggml.model is '", vocabulary.model,
                                                      "'; known are '", kSpmModel, "' and '",
                                                      kBpeModel, "'"));
  }
  ASSIGN_OR_RETURN(vocabulary.pre, file.GetString(Key("pre")));
  ASSIGN_OR_RETURN(std::optional<std::string> name, file.GetString("general.name"));
  if (name) vocabulary.name = std::move(*name);

  ASSIGN_OR_RETURN(vocabulary.tokens, ReadStrings(file, "tokens"));
  ASSIGN_OR_RETURN(vocabulary.scores, ReadScores(file));
  ASSIGN_OR_RETURN(vocabulary.types, ReadTypes(file));
  if (vocabulary.model == kBpeModel) {
    ASSIGN_OR_RETURN(vocabulary.merges, ReadStrings(file, "merges"));
  }
  RETURN_IF_ERROR(ReadIds(file, &vocabulary));
  return vocabulary;
}

}  // namespace baton
