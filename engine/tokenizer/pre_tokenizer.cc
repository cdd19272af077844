#include "engine/tokenizer/pre_tokenizer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "engine/base/check.h"
#include "engine/tokenizer/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace baton {
namespace {

// Backtracking steps of one match. A rule takes at most a few for a byte, so this is reached by
// no text under some ten megabytes.
constexpr uint32_t kMatchLimit = 50'000'000;
// Heap of one match, in KiB, where the compiled form can't be used.
constexpr uint32_t kMatchHeapKiB = 64 * 1024;

// English contractions: as GPT-2 wrote them, and without case.
#define CONTRACTIONS R"('s|'t|'re|'ve|'m|'ll|'d)"
#define ANY_CASE_CONTRACTIONS R"('[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
// What follows words and digits in the rules of Llama 3's kind.
#define SPACES_AND_NEWLINES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define REST R"( ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACES_AND_NEWLINES
// Words that end where small letters are followed by a capital.
#define CAPITALS R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define SMALLS R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define BEFORE_WORD R"([^\r\n\p{L}\p{N}]?)"
#define REST_WITH_SLASHES R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACES_AND_NEWLINES

#define GPT2 CONTRACTIONS R"(| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"
#define LLAMA3 "(?:" ANY_CASE_CONTRACTIONS ")|" BEFORE_WORD R"(\p{L}+|\p{N}{1,3}|)" REST
#define QWEN2 "(?:" ANY_CASE_CONTRACTIONS ")|" BEFORE_WORD R"(\p{L}+|\p{N}|)" REST
#define QWEN35                                 \
  "(?:" ANY_CASE_CONTRACTIONS ")|" BEFORE_WORD \
  R"([\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" SPACES_AND_NEWLINES
#define SEED_CODER                             \
  "(?:" ANY_CASE_CONTRACTIONS ")|" BEFORE_WORD \
  R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" SPACES_AND_NEWLINES
#define TEKKEN                                                         \
  BEFORE_WORD CAPITALS "*" SMALLS "+|" BEFORE_WORD CAPITALS "+" SMALLS \
                       R"(*|\p{N}|)" REST_WITH_SLASHES
#define GPT4O                                                                             \
  BEFORE_WORD CAPITALS "*" SMALLS "+(?:" ANY_CASE_CONTRACTIONS ")?|" BEFORE_WORD CAPITALS \
                       "+" SMALLS "*(?:" ANY_CASE_CONTRACTIONS                            \
                       R"()?|\p{N}{1,3}|)" REST_WITH_SLASHES
// Kimi K2: Han characters are words of their own, and no part of others. The script is meant, not
// what is also used with it.
#define HAN R"(\p{sc:Han})"
#define NO_HAN(letters) "(?:(?!" HAN ")" letters ")"
#define KIMI_K2                                              \
  HAN "+|" BEFORE_WORD NO_HAN(CAPITALS) "*" NO_HAN(          \
      SMALLS) "+(?:" ANY_CASE_CONTRACTIONS ")?|" BEFORE_WORD \
  NO_HAN(CAPITALS) "+" NO_HAN(SMALLS) "*(?:" ANY_CASE_CONTRACTIONS R"()?|\p{N}{1,3}|)" REST
// Digits in groups of three from the right. A run is looked through once, at its beginning; \G
// takes its further groups from there. SuperBPE's own rule cuts before groups without a match of
// their own, Tiny Aya's takes them where the run ends at the end of a word.
#define SUPERBPE_GROUPS \
  R"((?<![0-9])[0-9]{1,3}\K(?=(?:[0-9]{3})++(?![0-9]))|\G[0-9]{3}\K(?=[0-9]{3}))"
#define TINY_AYA_GROUPS \
  R"((?<![0-9])[0-9]{1,3}(?=(?:[0-9]{3})*+(?![0-9A-Za-z_]))|\G(?<=[0-9])[0-9]{3})"
#define BLOOM R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)"

// CJK ideographs, most of what Unicode places before them, and Hangul: DeepSeek's own class,
// U+0800 to U+9FA5 and U+AC00 to U+D7FF, without the white space there, as llama.cpp reads it.
#define DEEPSEEK_CJK                                                                         \
  R"([\x{800}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027}\x{202A}-\x{202E}\x{2030}-\x{205E})" \
  R"(\x{2060}-\x{2FFF}\x{3001}-\x{9FA5}\x{AC00}-\x{D7FF}]+)"
// Letters of scripts that have case: DeepSeek's own class, which is no Unicode category.
#define DEEPSEEK_LETTERS                                                                        \
  R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293})"       \
  R"(\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A})" \
  R"(\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556})"       \
  R"(\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF})"    \
  R"(\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D})"    \
  R"(\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D})"              \
  R"(\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4})"             \
  R"(\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4})"    \
  R"(\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124})"      \
  R"(\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F})"              \
  R"(\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"              \
  R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F})"     \
  R"(\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17})"    \
  R"(\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3})"                 \
  R"(\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF})"             \
  R"(\x{1E900}-\x{1E943})"
#define DEEPSEEK_PUNCTUATION \
  R"([!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3001}-\x{3002}])"
// White space at the end of a piece. A run that does not reach the end is skipped as a whole:
// tried again from each of its characters it would take quadratic time.
#define TRAILING_SPACES R"(\s++(?:$|(*SKIP)(*FAIL)))"
#define THREE_NUMBERS R"(\p{N}{1,3})"
#define DEEPSEEK_V3_CJK R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)"
#define DEEPSEEK_V3                                    \
  R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)" \
  R"(|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|)" SPACES_AND_NEWLINES

#define DIGIT R"(\p{N})"
#define THREE_DIGITS "[0-9][0-9][0-9]"

constexpr PreTokenizerRule kRules[] = {
    {"default", {R"([\p{P}\$\+<=>\^~\|]+)", GPT2, R"(\p{N}+)", THREE_DIGITS}},
    {"gpt-2", {GPT2}},
    {"phi-2", {GPT2}},
    {"mpt", {GPT2}},
    {"olmo", {GPT2}},
    {"jais", {GPT2}},
    {"exaone4", {GPT2}},
    {"trillion", {GPT2}},
    {"granite-docling", {GPT2}},
    {"gigachat", {GPT2}},
    {"mellum", {GPT2}},
    {"a.x-4.0", {GPT2}},
    {"falcon", {R"([\p{P}\$\+<=>\^~\|`]+)", GPT2, THREE_DIGITS}},
    {"starcoder", {DIGIT, GPT2}},
    {"refact", {DIGIT, GPT2}},
    {"command-r", {DIGIT, GPT2}},
    {"smollm", {DIGIT, GPT2}},
    {"codeshell", {DIGIT, GPT2}},
    {"exaone", {DIGIT, GPT2}},
    {"minerva-7b", {DIGIT, GPT2}},
    {"mellum2", {DIGIT, GPT2}},
    {"llama-bpe", {LLAMA3}, /*ignores_merges=*/true, /*adds_bos=*/true},
    {"llama3", {LLAMA3}, true, true},
    {"llama-v3", {LLAMA3}, true, true},
    {"falcon3", {LLAMA3}, true, true},
    {"falcon-h1", {LLAMA3}, true, true},
    {"pixtral", {LLAMA3}, true, true},
    {"midm-2.0", {LLAMA3}, true, true},
    {"lfm2", {LLAMA3}, true, true},
    {"dbrx", {LLAMA3}},
    {"smaug-bpe", {LLAMA3}},
    {"chatglm-bpe", {LLAMA3}, false, false, /*has_default_bos=*/false},
    {"glm4", {LLAMA3}, true, false, false},
    {"qwen2", {QWEN2}},
    {"deepseek-r1-qwen", {QWEN2}},
    {"megrez", {QWEN2}},
    {"stablelm2", {QWEN2}},
    {"hunyuan", {QWEN2}},
    {"kormo", {QWEN2}},
    {"grok-2", {QWEN2}},
    {"qwen35", {QWEN35}},
    {"seed-coder", {SEED_CODER}},
    {"tekken", {TEKKEN}, true, true},
    {"gpt-4o", {GPT4O}},
    {"llama4", {GPT4O}},
    {"kanana2", {GPT4O}},
    {"tiny_aya", {TINY_AYA_GROUPS, GPT4O}},
    {"kimi-k2", {KIMI_K2}},
    {"superbpe", {R"(\p{N}+)", SUPERBPE_GROUPS}},
    {"poro-chat", {BLOOM}},
    {"bloom", {BLOOM}},
    {"gpt3-finnish", {BLOOM}},
    {"viking", {BLOOM, DIGIT}},
    {"deepseek-llm",
     {R"([\r\n])", R"(\s?[)" DEEPSEEK_LETTERS R"(]+)", R"(\s?)" DEEPSEEK_PUNCTUATION "+",
      TRAILING_SPACES, DEEPSEEK_CJK, R"(\p{N}+)"}},
    {"deepseek-coder", {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", DEEPSEEK_CJK, DIGIT}},
    {"deepseek-v3", {THREE_NUMBERS, DEEPSEEK_V3_CJK, DEEPSEEK_V3}},
    {"hunyuan-dense", {THREE_NUMBERS, DEEPSEEK_V3_CJK, DEEPSEEK_V3}},
    {"joyai-llm", {THREE_NUMBERS, DEEPSEEK_V3_CJK, DEEPSEEK_V3}},
};

}  // namespace

absl::StatusOr<const PreTokenizerRule*> FindPreTokenizerRule(absl::string_view name) {
  for (const PreTokenizerRule& rule : kRules) {
    if (name == rule.name) return &rule;
  }
  return absl::FailedPreconditionError(absl::StrCat("tokenizer.ggml.pre is '", name,
                                                    "', which is not known; known are ",
                                                    absl::StrJoin(PreTokenizerNames(), ", ")));
}

const PreTokenizerRule& DefaultPreTokenizerRule() { return kRules[0]; }

std::vector<std::string> PreTokenizerNames() {
  std::vector<std::string> names;
  for (const PreTokenizerRule& rule : kRules) names.push_back(rule.name);
  return names;
}

// One regular expression.
class PreTokenizer::Stage {
 public:
  explicit Stage(absl::string_view regex);
  ~Stage() {
    pcre2_match_context_free(limits_);
    pcre2_code_free(code_);
  }

  // Appends the pieces of `piece`, which is UTF-8.
  void Split(absl::string_view piece, pcre2_match_data* match,
             std::vector<absl::string_view>* pieces) const;

 private:
  // Whether there is a match at or after `from`; `match` then tells where.
  bool Find(absl::string_view text, size_t from, pcre2_match_data* match) const;

  pcre2_code* code_;
  pcre2_match_context* limits_;
};

PreTokenizer::Stage::Stage(absl::string_view regex) {
  // PCRE2's own \s has U+180E, which Unicode no longer counts as white space.
  const std::string pattern = absl::StrReplaceAll(
      regex, {{R"(\s)", R"(\p{White_Space})"}, {R"(\S)", R"(\P{White_Space})"}});
  int error = 0;
  size_t position = 0;
  code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                        PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &error, &position, nullptr);
  CHECK(code_ != nullptr);
  // Where machine code can't be made the interpreter gives the same matches.
  pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);
  limits_ = pcre2_match_context_create(nullptr);
  CHECK(limits_ != nullptr);
  pcre2_set_match_limit(limits_, kMatchLimit);
  pcre2_set_heap_limit(limits_, kMatchHeapKiB);
}

bool PreTokenizer::Stage::Find(absl::string_view text, size_t from, pcre2_match_data* match) const {
  // The text was checked once; PCRE2 would check all of it for every piece.
  const uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY_ATSTART;
  const PCRE2_SPTR subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  int result = pcre2_match(code_, subject, text.size(), from, options, match, limits_);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
    result = pcre2_match(code_, subject, text.size(), from, options | PCRE2_NO_JIT, match, limits_);
  }
  return result > 0;
}

void PreTokenizer::Stage::Split(absl::string_view piece, pcre2_match_data* match,
                                std::vector<absl::string_view>* pieces) const {
  size_t at = 0;
  while (at < piece.size() && Find(piece, at, match)) {
    const size_t* const ends = pcre2_get_ovector_pointer(match);
    if (ends[0] > at) pieces->push_back(piece.substr(at, ends[0] - at));
    // A match of nothing is a cut.
    if (ends[1] > ends[0]) pieces->push_back(piece.substr(ends[0], ends[1] - ends[0]));
    at = ends[1];
  }
  if (at < piece.size()) pieces->push_back(piece.substr(at));
}

PreTokenizer::PreTokenizer(const PreTokenizerRule& rule) {
  for (const char* regex : rule.stages) {
    if (regex != nullptr) stages_.push_back(std::make_unique<Stage>(regex));
  }
}

PreTokenizer::~PreTokenizer() = default;

std::vector<absl::string_view> PreTokenizer::Split(absl::string_view text) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  CHECK(match != nullptr);
  std::vector<absl::string_view> result;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    for (size_t length = 0; end < text.size() && (length = Utf8CharLength(text, end)) > 0;) {
      end += length;
    }
    if (end > begin) {
      std::vector<absl::string_view> pieces = {text.substr(begin, end - begin)};
      for (const auto& stage : stages_) {
        std::vector<absl::string_view> finer;
        for (const absl::string_view piece : pieces) stage->Split(piece, match.get(), &finer);
        pieces = std::move(finer);
      }
      result.insert(result.end(), pieces.begin(), pieces.end());
    }
    if (end < text.size()) result.push_back(text.substr(end, 1));
    begin = end + 1;
  }
  return result;
}

}  // namespace baton
