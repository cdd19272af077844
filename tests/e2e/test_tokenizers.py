"""Tokenizers against independent ones: Hugging Face's tokenizers and Google's sentencepiece.

Vocabularies are trained here, by those libraries, so that every rule meets the same hard texts. All
texts of a rule go through one process, with a token between them that ends the text before it.
"""

import json
import os
import subprocess

import awkward_texts
import harness
import pre_tokenizers
from gguf_edit import GgufEdit

HERE = os.path.dirname(os.path.abspath(__file__))
RANDOM_TEXTS = 3000

SEPARATOR = "<|endoftext|>"  # which takes no white space after it in any model
NORMAL, CONTROL = 1, 3  # tokenizer.ggml.token_type
# Phi-3's turns: its marks take the white space after them.
MARKED = ["<|user|>\nHello!<|end|>\n<|assistant|>\nIt's 2024.<|end|>", "<|user|>  a b", "<s> c",
          "<|end|>\t\r\n \n<|user|>x", "</s>\n\ny", "a<|end|> ", " <|user|>", "<|user|> <s> z"]


class Tokenizers(harness.EndToEndTest):
    case_seconds = 120

    @classmethod
    def setUpClass(cls):
        python = harness.oracle_python()
        cls.texts = list(dict.fromkeys(awkward_texts.BY_HAND
                                       + awkward_texts.at_random(RANDOM_TEXTS, seed=1)))
        cls.marked = MARKED + cls.texts
        job = {"train": awkward_texts.BY_HAND + awkward_texts.at_random(RANDOM_TEXTS, seed=2),
               "texts": cls.texts, "marked": cls.marked}
        done = subprocess.run([python, os.path.join(HERE, "tokenizer_oracle.py")], check=True,
                              input=json.dumps(job), stdout=subprocess.PIPE, text=True)
        cls.oracle = json.loads(done.stdout)

    def vocabulary(self, name, model, tokens, types):
        """The vocabulary's file, to which the caller adds what its kind has besides."""
        edit = GgufEdit.empty()
        edit.set_string("general.architecture", "llama")
        edit.set_string("general.name", name)
        edit.set_string("tokenizer.ggml.model", model)
        edit.set_strings("tokenizer.ggml.tokens", tokens + [SEPARATOR])
        edit.set_integers("tokenizer.ggml.token_type", types + [CONTROL])
        return edit

    def tokenize(self, vocabulary, texts, separator_id):
        """Ids per text."""
        path = vocabulary.save(self.path("vocabulary.gguf"))
        joined = SEPARATOR.join(texts).encode()
        ids = self.expect_ok("tokenize", "-m", path, "-f", self.write("texts", joined), "--no-bos")
        result = [[]]
        for number in json.loads(ids.stdout):
            if number == separator_id:
                result.append([])
            else:
                result[-1].append(number)
        return result

    def expect_same(self, texts, tokens, found, expected):
        self.assertEqual(len(found), len(texts))
        wrong = [i for i in range(len(texts)) if found[i] != expected[i]]
        if wrong:
            first = min(wrong, key=lambda i: len(texts[i]))
            self.fail(f"{len(wrong)} of {len(texts)} texts differ; the shortest is "
                      f"{ascii(texts[first])}:\n"
                      f"found    {ascii([tokens[i] for i in found[first]])}\n"
                      f"expected {ascii([tokens[i] for i in expected[first]])}")

    def test_bpe_by_every_pre_tokenizer(self):
        bpe = self.oracle["bpe"]
        tokens = bpe["tokens"]
        vocabulary = self.vocabulary("bpe", "gpt2", tokens, [NORMAL] * len(tokens))
        vocabulary.set_strings("tokenizer.ggml.merges", bpe["merges"])
        for name in pre_tokenizers.BPE:
            with self.subTest(pre=name):
                vocabulary.set_string("tokenizer.ggml.pre", name)
                found = self.tokenize(vocabulary, self.texts, len(tokens))
                self.expect_same(self.texts, tokens, found, bpe["expected"][name])

    def test_the_texts_tell_rules_apart(self):
        """Else the case above would show little."""
        by_rule = {}
        for name, rule in pre_tokenizers.BPE.items():
            by_rule.setdefault(json.dumps(rule), name)
        names = list(by_rule.values())
        expected = self.oracle["bpe"]["expected"]
        for i, one in enumerate(names):
            for other in names[i + 1:]:
                apart = sum(a != b for a, b in zip(expected[one], expected[other]))
                self.assertGreater(apart, 50, f"{one} and {other}")

    def spm_vocabulary(self, name):
        spm = self.oracle["spm"]
        vocabulary = self.vocabulary(name, "llama", spm["tokens"], spm["types"])
        return vocabulary.set_floats("tokenizer.ggml.scores", spm["scores"] + [0.0])

    def test_spm(self):
        spm = self.oracle["spm"]
        found = self.tokenize(self.spm_vocabulary("spm"), self.texts, len(spm["tokens"]))
        self.expect_same(self.texts, spm["tokens"], found, spm["expected"])

    def test_spm_of_phi3(self):
        spm = self.oracle["spm"]
        found = self.tokenize(self.spm_vocabulary("Phi-3 mini"), self.marked, len(spm["tokens"]))
        self.expect_same(self.marked, spm["tokens"], found, spm["phi-3"])
