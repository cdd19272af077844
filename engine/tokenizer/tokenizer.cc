#include "engine/tokenizer/tokenizer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/tokenizer/bpe_tokenizer.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/read_vocabulary.h"
#include "engine/tokenizer/spm_tokenizer.h"

namespace baton {
namespace {

// A file that asks for BOS or EOS in so many words must have one.
absl::Status CheckAdded(absl::string_view name, bool asked, std::optional<int32_t> id) {
  if (!asked || id) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.add_", name,
                                                 "_token is true, but there is no tokenizer.ggml.",
                                                 name, "_token_id"));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> CreateForModel(Vocabulary vocabulary) {
  if (vocabulary.model == kSpmModel) {
    return std::unique_ptr<Tokenizer>(std::make_unique<SpmTokenizer>(std::move(vocabulary)));
  }
  if (vocabulary.model != kBpeModel) {
    return absl::FailedPreconditionError(absl::StrCat("tokenizer.ggml.model is '", vocabulary.model,
                                                      "'; known are '", kSpmModel, "' and '",
                                                      kBpeModel, "'"));
  }
  const PreTokenizerRule* rule = &DefaultPreTokenizerRule();
  if (vocabulary.pre) {
    ASSIGN_OR_RETURN(rule, FindPreTokenizerRule(*vocabulary.pre));
  }
  return std::unique_ptr<Tokenizer>(std::make_unique<BpeTokenizer>(std::move(vocabulary), *rule));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> CreateTokenizer(Vocabulary vocabulary) {
  RETURN_IF_ERROR(ValidateVocabulary(vocabulary));
  const bool asks_bos = vocabulary.add_bos.value_or(false);
  const bool asks_eos = vocabulary.add_eos.value_or(false);
  ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, CreateForModel(std::move(vocabulary)));
  RETURN_IF_ERROR(CheckAdded("bos", asks_bos, tokenizer->bos()));
  RETURN_IF_ERROR(CheckAdded("eos", asks_eos, tokenizer->eos()));
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(const GgufFile& file) {
  ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(file));
  return CreateTokenizer(std::move(vocabulary));
}

}  // namespace baton
