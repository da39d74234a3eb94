"""Tiny tokenizers in the styles of the families, with chat templates in the manner of theirs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "What is the capital of Peru? The capital of Peru is Lima. Be brief. You are a helpful assistant.",
    "system user assistant model INST SYS helpful answers\n\n  indented\n\tcode = f(x) # 12345",
    "Österreich, 中国的首都是北京。 naïve café 🙂",
] * 9
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Style:
    """A kind of tokenizer directory."""

    kind: str  # of the vocabulary: see `vocabulary`
    specials: Sequence[str]
    template: str | None
    config: dict[str, Any] = field(default_factory=dict)
    generation: dict[str, Any] = field(default_factory=dict)
    plain_added: Sequence[str] = ()  # added tokens that are not special
    swallow: bool = False  # special tokens take the white space behind them

    def write(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        backend = vocabulary(self.kind, self.specials)
        if self.swallow:
            settings = json.loads(backend.to_str())
            for token in settings["added_tokens"]:
                token["rstrip"] = True
            backend = tokenizers.Tokenizer.from_str(json.dumps(settings))
        backend.add_tokens([AddedToken(token, normalized=False, special=False) for token in self.plain_added])
        backend.save(str(directory / "tokenizer.json"))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **self.config}
        if self.template is not None:
            config["chat_template"] = self.template
        (directory / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        if self.generation:
            (directory / "generation_config.json").write_text(json.dumps(self.generation))
        return directory


def vocabulary(kind: str, specials: Sequence[str]) -> tokenizers.Tokenizer:
    """bytes: GPT-2's byte-level BPE; llama3: with its pattern, and bos put on by the post-processor;
    llama2: SentencePiece BPE that puts a space before every text; metaspace: before the first alone; gemma: never."""
    added = [AddedToken(token, normalized=False, special=True) for token in specials]
    if kind in ("bytes", "llama3"):
        backend = tokenizers.Tokenizer(models.BPE())
        steps: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "bytes")
        if kind == "llama3":
            steps = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"), steps])
        backend.pre_tokenizer, backend.decoder = steps, decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        backend.train_from_iterator(TEXTS, trainer(added, alphabet))
        if kind == "llama3":
            backend.post_processor = processors.TemplateProcessing(
                single=f"{specials[0]} $A", special_tokens=[(specials[0], backend.token_to_id(specials[0]))]
            )
        return backend
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")  # so that no merge spans two words
    pieces = [AddedToken(f"<0x{byte:02X}>", normalized=False, special=False) for byte in range(256)]
    backend.train_from_iterator(TEXTS, trainer([*added, *pieces], ["▁"]))
    settings = json.loads(backend.to_str())
    settings["added_tokens"] = [one for one in settings["added_tokens"] if not one["content"].startswith("<0x")]
    backend = tokenizers.Tokenizer.from_str(json.dumps(settings))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if kind == "metaspace":
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        backend.pre_tokenizer = None
        replace = normalizers.Replace(" ", "▁")
        backend.normalizer = replace if kind == "gemma" else normalizers.Sequence([normalizers.Prepend("▁"), replace])
    backend.decoder = decoders.Sequence(steps if kind == "gemma" else [*steps, decoders.Strip(" ", 1, 0)])
    return backend


def trainer(added: list[AddedToken], alphabet: list[str]) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=len(added) + 420, special_tokens=added, initial_alphabet=alphabet, show_progress=False
    )


CHATML = (
    "{% for m in messages %}"
    "{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}"
    "{% endif %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN3 = """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}
    {%- elif m.role == 'assistant' %}
        {%- set said = m.content %}
        {%- if '</think>' in said %}{% set said = said.split('</think>')[-1].lstrip('\\n') %}{% endif %}
        {%- if loop.index0 > ns.last and loop.last %}
            {{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + said.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + said }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""
LLAMA3 = (
    "{% for m in messages %}{% set turn = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + "
    "m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set turn = bos_token + turn %}{% endif %}"
    "{{ turn }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set head = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set head = false %}{% endif %}{% for m in rest %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant/user/...') }}{% endif %}"
    "{% if loop.index0 == 0 and head != false %}{% set said = '<<SYS>>\n' + head + '\n<</SYS>>\n\n' + m['content'] %}"
    "{% else %}{% set said = m['content'] %}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + said.strip() + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + said.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + '[/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant roles') }}{% endif %}{% endfor %}"
)
GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set head = messages[0]['content'] + '\n\n' -%}{%- set rest = messages[1:] -%}
{%- else -%}{%- set head = '' -%}{%- set rest = messages -%}{%- endif -%}
{%- for m in rest -%}
    {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- set role = 'model' if m['role'] == 'assistant' else m['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (head if loop.first else '') + m['content'] | trim + '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"""
ZEPHYR = (
    "{% for m in messages %}\n{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token }}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
PHI3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
IM = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SENTENCE = ["<unk>", "<s>", "</s>"]
IM_END = {"eos_token": "<|im_end|>"}

STYLES = {
    "smollm2": Style("bytes", IM, CHATML, {"bos_token": "<|im_start|>", "pad_token": "<|im_end|>", **IM_END}),
    "qwen2.5": Style(
        "llama3", IM[:1] + IM[1:], CHATML, {"bos_token": None, "pad_token": "<|endoftext|>", **IM_END},
        {"eos_token_id": [2, 0]},
    ),
    "qwen3": Style("llama3", IM, QWEN3, {"pad_token": "<|endoftext|>", **IM_END}, plain_added=["<think>", "</think>"]),
    "llama3": Style(
        "llama3",
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
         "<|finetune_right_pad_id|>", "<|reserved_special_token_0|>"],
        LLAMA3, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}, {"eos_token_id": [1, 4]},
    ),
    "llama2": Style("llama2", SENTENCE, LLAMA2, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "llama2 first": Style(
        "metaspace", SENTENCE, LLAMA2, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    ),
    "mistral": Style(
        "metaspace", [*SENTENCE, "[INST]", "[/INST]"], MISTRAL,
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    ),
    "gemma": Style(
        "gemma", ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"], GEMMA,
        {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"},
        {"eos_token_id": [1, 5]}, plain_added=["\n\n", "▁▁"],
    ),
    "zephyr": Style(
        "llama2", [*SENTENCE, "<|system|>", "<|user|>", "<|assistant|>"], ZEPHYR,
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"},
    ),
    "phi3": Style(
        "metaspace", [*SENTENCE, "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"], PHI3,
        {"bos_token": "<s>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<unk>"},
        {"eos_token_id": [3, 7]}, swallow=True,
    ),
    "gpt2": Style("bytes", ["<|endoftext|>"], None, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}),
}  # fmt: skip
