"""Texts on which tokenizers tend to differ: written by hand, and strung together at random."""

import random
import unicodedata

# What Unicode calls White_Space, then characters that are often taken for it.
SPACES = [*"\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000",
          *map(chr, range(0x2000, 0x200B))]
NEARLY_SPACES = [*"\u180e\u200b\u200c\u200d\u2060\ufeff\x1c\x1d\x1e\x1f\x7f"]
CONTRACTIONS = ["'s", "'S", "'t", "'T", "'re", "'Re", "'VE", "'m", "'ll", "'lL", "'d", "\u2019s",
                "'\u017f", "'x", "''s"]
NUMBERS = ["0", "7", "42", "123", "2024", "31415926", "\u0663", "\u0664\u0665", "\u06f5", "\u0967",
           "\u0968\u0969", "\u00bd", "\u00b2", "\u2460", "\u2167", "\u3007", "\uff11\uff12",
           "\U0001d7d9"]
WORDS = ["a", "I", "the", "Hello", "WORLD", "iPhone", "na\u00efve", "e\u0301", "\u01c5", "\u02b0",
         "\u00aa", "\u0130", "\u017f", "\u212a", "\u00df", "\u041f\u0440\u0438\u0432\u0435\u0442",
         "\u03a9\u03bc\u03ad\u03b3\u03b1", "\u4f60\u597d", "\u65e5\u672c\u8a9e", "\u30ab\u30bf",
         "\u3072\u3089\u304c\u306a", "\ud55c\uad6d\uc5b4", "\u0645\u0631\u062d\u0628\u0627",
         "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
         "\u05e9\u05dc\u05d5\u05dd", "\U00020000", "\uff21\uff42"]
MARKS = ["\u0300", "\u0301", "\u20dd", "\u093e", "\u0e34", "\ufe0f", "\U0001f3fd"]
SYMBOLS = [*"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "\u2014", "\u2026", "\u201c", "\u201d", "\u3001",
           "\u3002", "\uff01", "\u20ac", "\u00a7", "\u221e", "\u2192", "\u0964", "\u060c", "\ufffd",
           "=>", "...", "//", "||"]
EMOJI = ["\U0001f600", "\u2764\ufe0f", "\U0001f469\u200d\U0001f4bb", "\U0001f1e9\U0001f1ea",
         "1\ufe0f\u20e3"]
# Blocks to draw single characters from: Latin to Hebrew, Arabic, Indic, Georgian to Hangul, signs
# and symbols, CJK, full width, mathematics, emoji.
RANGES = [(0x20, 0x24F), (0x250, 0x5FF), (0x600, 0x6FF), (0x900, 0xDFF), (0x10A0, 0x11FF),
          (0x1E00, 0x218F), (0x2190, 0x27BF), (0x2E80, 0x30FF), (0x4E00, 0x4EFF),
          (0x9F80, 0x9FFF), (0xA640, 0xA7FF), (0xD780, 0xD7FF), (0xFE00, 0xFFEF),
          (0x10400, 0x104FF), (0x1D400, 0x1D7FF), (0x1F300, 0x1F6FF)]

BY_HAND = [
    "Hello, world! It's 2024, isn't it?", "WE'LL SEE, THEY'RE HERE; I'VE 'S 'T",
    "we'LL they'Re I'M don'T", "x = 3.14159 + 1e-10 // 0xFF", "1234567890 12 345 6789",
    "  two  spaces   three    four", "trailing   ", "   ", " ", "\n", "\n\n\n", " \n \n ",
    "tab\tand\t\ttabs", "\r\nwindows\r\n\r\nlines\r\n", "a\u00a0b\u00a0\u00a0c", "a \u3000 b",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01123\u4e2a", "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8",
    "\u0661\u0662\u0663\u0664 \u0967\u0968\u0969\u096a", "e\u0301e\u0301 a\u0308\u0323",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 family", "def f(x):\n    return x ** 2\n\n\n",
    "<html>\n\t<body class=\"a\">&amp;</body>\n</html>", "foo_bar-baz.qux@example.com",
    "\u00bd cup \u00b2\u00b3 \u2167", "\ufffd\ufffd?", "'", "''''", "'s's's", "a's'b", "!!!\n\n???",
    "...\r\n", "$100 + \u20ac50 = ~150", "\u2019s \u2019ll", "'\u017f '\u212a", "x\u200by\ufeffz",
]


def _character(generator):
    """A character that was assigned when this Python's tables were made."""
    while True:
        character = chr(generator.randint(*generator.choice(RANGES)))
        if unicodedata.category(character) not in ("Cn", "Cs"):
            return character


def at_random(count, seed):
    """`count` strings, the same for the same seed."""
    generator = random.Random(seed)
    kinds = [SPACES, [" "], ["\n"], NEARLY_SPACES, CONTRACTIONS, NUMBERS, WORDS, WORDS, MARKS,
             SYMBOLS, EMOJI, None]
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(generator.randint(1, 16)):
            kind = generator.choice(kinds)
            part = generator.choice(kind) if kind else _character(generator)
            parts.append(part * generator.choice([1, 1, 1, 1, 2, 3]))
        texts.append("".join(parts))
    return texts
