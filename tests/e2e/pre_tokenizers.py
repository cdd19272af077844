"""How models split text before BPE, by the name in tokenizer.ggml.pre, in their publishers' words.

Each entry is the "pre_tokenizer" of the model's published tokenizer.json, as Hugging Face's library
reads it. Where llama.cpp, whose files people have, splits otherwise, the entry is what follows from
its rule, and says why. Normalizers (NFC in qwen2, command-r and mpt) are left out for all:
llama.cpp does not normalize, and neither must what reads its files.
"""

# The library's ByteLevel, which with use_regex splits as GPT-2 does.
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
GPT2 = {**BYTES, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def split(regex):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


_GPT2_REGEX = (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
# Published with (?i:'s|'t|'re|'ve|'m|'ll|'d), whose 's also takes U+017F, the long s. llama.cpp
# lists the ASCII letters: it has no case folding.
_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_LLAMA3_REGEX = (_CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
                 r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
_QWEN2_REGEX = _LLAMA3_REGEX.replace(r"\p{N}{1,3}", r"\p{N}")
# Published as [\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+. llama.cpp matches rules without \p
# against a text whose white space is all U+000B, so what of it lies in the class does not count.
_DEEPSEEK_CJK = "(?:(?!\\s)[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF])+"

# Published with \\d and \\b, which are Unicode's there and ASCII's in llama.cpp.
_SUPERBPE_GROUPS = r"(?=([0-9]{3})+(?![0-9]))"
_TINY_AYA_GROUPS = r"[0-9]{1,3}(?=(?:[0-9]{3})*(?<=[0-9])(?![0-9A-Za-z_]))"
_CAPITALS = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_SMALLS = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"


def cased(capitals, smalls, contractions, numbers, rest):
    """Words that end where small letters are followed by a capital."""
    before = r"[^\r\n\p{L}\p{N}]?"
    return (f"{before}[{capitals}]*[{smalls}]+{contractions}|{before}[{capitals}]+[{smalls}]*"
            f"{contractions}|{numbers}| ?[^\\s\\p{{L}}\\p{{N}}]+[{rest}]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+")


_GPT4O_REGEX = cased(_CAPITALS, _SMALLS, _CONTRACTIONS + "?", r"\p{N}{1,3}", r"\r\n/")
_NO_HAN = r"&&[^\p{Han}]"
_KIMI_REGEX = r"[\p{Han}]+|" + cased(_CAPITALS + _NO_HAN, _SMALLS + _NO_HAN, _CONTRACTIONS + "?",
                                     r"\p{N}{1,3}", r"\r\n")
_DEEPSEEK_V3 = sequence(
    split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
    split(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
          r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), BYTES)

BPE = {
    "llama-bpe": sequence(split(_LLAMA3_REGEX), BYTES),
    "qwen2": sequence(split(_QWEN2_REGEX), BYTES),
    "smollm": sequence(DIGITS, GPT2),
    "starcoder": sequence(DIGITS, GPT2),
    "refact": sequence(DIGITS, GPT2),
    "command-r": sequence(DIGITS, GPT2),
    "mpt": GPT2,
    "gpt-2": GPT2,
    "deepseek-coder": sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                               split(_DEEPSEEK_CJK), DIGITS, BYTES),
    "stablelm2": sequence(split(_QWEN2_REGEX), BYTES),
    "glm4": sequence(split(_LLAMA3_REGEX), BYTES),
    "tekken": sequence(split(cased(_CAPITALS, _SMALLS, "", r"\p{N}", r"\r\n/")), BYTES),
    "gpt-4o": sequence(split(_GPT4O_REGEX), BYTES),
    "tiny_aya": sequence(split(_TINY_AYA_GROUPS), split(_GPT4O_REGEX), BYTES),
    "kimi-k2": sequence(split(_KIMI_REGEX), BYTES),
    "superbpe": sequence(split(r"\p{N}+"), split(_SUPERBPE_GROUPS), BYTES),
    "deepseek-v3": _DEEPSEEK_V3,
    "hunyuan-dense": _DEEPSEEK_V3,
    # Nobody's tokenizer.json: llama.cpp's own rule for files that name none.
    "default": sequence(split(r"[\p{P}\$\+<=>\^~\|]+"), split(_GPT2_REGEX), split(r"\p{N}+"),
                        split(r"[0-9][0-9][0-9]"), BYTES),
}
# A piece that is a token as it stands is not put together from merges.
IGNORES_MERGES = {"llama-bpe", "glm4", "tekken"}
