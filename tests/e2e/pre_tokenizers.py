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
    # Nobody's tokenizer.json: llama.cpp's own rule for files that name none.
    "default": sequence(split(r"[\p{P}\$\+<=>\^~\|]+"), split(_GPT2_REGEX), split(r"\p{N}+"),
                        split(r"[0-9][0-9][0-9]"), BYTES),
}
# A piece that is a token as it stands is not put together from merges.
IGNORES_MERGES = {"llama-bpe"}
