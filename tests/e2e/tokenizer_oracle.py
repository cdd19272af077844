#!/usr/bin/env python3
"""Trains small vocabularies and tokenizes with them, by Hugging Face's tokenizers and Google's
sentencepiece, for test_tokenizers.py. Runs in the environment of tests/fetch-oracles.

Reads one JSON object from stdin, {"train": [text], "texts": [text], "marked": [text]}, and writes
{"bpe": {"tokens", "merges", "expected": {name: ids per text}},
 "spm": {"tokens", "scores", "types", "expected": ids per text, "phi-3": ids per marked text}}.
"""

import io
import json
import sys

import sentencepiece
import tokenizers

import pre_tokenizers

BPE_SIZE = 6000
SPM_SIZE = 3000
PHI3_MARKS = ["<|user|>", "<|assistant|>", "<|end|>"]
# These take the white space after them, as its tokenizer_config.json has it ("rstrip").
PHI3_STRIPS = [*PHI3_MARKS, "</s>"]

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # tokenizer.ggml.token_type


def train_bpe(texts):
    """(tokens by id, merges). No text is split first, so that merges cross every border that a
    rule may set: a border in the wrong place shows."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False,
                                                                  use_regex=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=BPE_SIZE, show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), model["merges"]


def encode(definition, texts):
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(definition))
    return [encoding.ids for encoding in
            tokenizer.encode_batch(texts, add_special_tokens=False)]


def bpe_definition(tokens, merges, **parts):
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
             "ignore_merges": False, "vocab": {token: i for i, token in enumerate(tokens)},
             "merges": merges, **parts.pop("model", {})}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
            "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
            "model": model, **parts}


def bpe(train, texts):
    tokens, merges = train_bpe(train)
    expected = {
        name: encode(bpe_definition(tokens, merges, pre_tokenizer=rule, model={
            "ignore_merges": name in pre_tokenizers.IGNORES_MERGES}), texts)
        for name, rule in pre_tokenizers.BPE.items()}
    return {"tokens": tokens, "merges": [" ".join(merge) for merge in merges],
            "expected": expected}


def train_spm(texts):
    """As Llama's was trained: nothing normalized, bytes for what has no token."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="bpe", vocab_size=SPM_SIZE,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, character_coverage=0.995, num_threads=1,
        minloglevel=2)
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def type_of(spm, i):
    if spm.is_unknown(i):
        return UNKNOWN
    if spm.is_control(i):
        return CONTROL
    return BYTE if spm.is_byte(i) else NORMAL


def merges_of(tokens, scores, types):
    """What converters make of a SentencePiece vocabulary: every way to put a token together from
    two others, the best score first."""
    ids = {token: i for i, token in enumerate(tokens) if types[i] == NORMAL}
    merges = [(-scores[i], ids[token[:cut]], ids[token[cut:]], token[:cut], token[cut:])
              for token, i in ids.items() for cut in range(1, len(token))
              if token[:cut] in ids and token[cut:] in ids]
    return [list(merge[3:]) for merge in sorted(merges)]


def phi3(tokens, scores, types, texts):
    added = [{"id": i, "content": token, "special": True, "single_word": False, "lstrip": False,
              "rstrip": token in PHI3_STRIPS, "normalized": False}
             for i, token in enumerate(tokens) if types[i] in (CONTROL, UNKNOWN)]
    normalizer = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    definition = bpe_definition(tokens, merges_of(tokens, scores, types), added_tokens=added,
                                normalizer=normalizer,
                                model={"byte_fallback": True, "fuse_unk": True,
                                       "unk_token": "<unk>"})
    return encode(definition, texts)


def spm(train, texts, marked):
    model = train_spm(train)
    tokens = [model.id_to_piece(i) for i in range(len(model))] + PHI3_MARKS
    scores = [model.get_score(i) for i in range(len(model))] + [0.0] * len(PHI3_MARKS)
    types = [type_of(model, i) for i in range(len(model))] + [CONTROL] * len(PHI3_MARKS)
    return {"tokens": tokens, "scores": scores, "types": types,
            "expected": [model.encode(text) for text in texts],
            "phi-3": phi3(tokens, scores, types, marked)}


job = json.load(sys.stdin)
json.dump({"bpe": bpe(job["train"], job["texts"]),
           "spm": spm(job["train"], job["texts"], job["marked"])}, sys.stdout)
