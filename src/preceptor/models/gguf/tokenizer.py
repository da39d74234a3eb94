"""From a GGUF file's metadata to Hugging Face's tokenizer files.

llama.cpp keeps the tokens, their kinds, and either the merges of byte-level BPE ("gpt2") or the scores of
SentencePiece's BPE ("llama"). How text is split before merging it only names; the names and what they stand for are
in its ``llama-vocab.cpp``.
"""

from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from preceptor.errors import InputError
from preceptor.files import write_atomic, write_json
from preceptor.models.gguf.file import GGUFFile

CONTROL, USER_DEFINED, UNUSED, BYTE = 3, 4, 5, 6  # tokenizer.ggml.token_type
_SPACE = "\u2581"  # SentencePiece's

# Words with a leading character that is no letter, numbers (Llama 3: at most three digits, Qwen: one), the rest.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT_2, _SMOLLM, _LLAMA_3, _QWEN, _NEOX = "gpt-2", "smollm", "llama-bpe", "qwen2", "olmo"
_SAME_AS = {"gpt2": _GPT_2, "starcoder": _SMOLLM, "llama3": _LLAMA_3, "llama-v3": _LLAMA_3, "deepseek-r1-qwen": _QWEN}
KNOWN = (_GPT_2, _SMOLLM, _LLAMA_3, _QWEN, _NEOX)


def write_tokenizer(file: GGUFFile, directory: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, the chat template in it.

    Raises :class:`InputError` for a kind of tokenizer that is not known.
    """
    tokens: list[str] = file.need("tokenizer.ggml.tokens")
    kinds: list[int] = file.get("tokenizer.ggml.token_type") or [1] * len(tokens)
    kind = file.need("tokenizer.ggml.model")
    if kind == "gpt2":
        backend, plain = _byte_level(file, tokens), tokens
    elif kind == "llama":
        plain = _respelled(file, tokens)
        backend = _sentencepiece(file, plain, kinds)
    else:
        raise InputError(f"{file.path}: unknown tokenizer {kind!r}; the known ones are gpt2 (byte-level BPE) and llama")
    named = _named_tokens(file, tokens)
    special, whole = [], []
    for token, spelled, token_kind in zip(tokens, plain, kinds, strict=True):
        if token_kind == CONTROL or token in named.values():
            special.append(AddedToken(token, normalized=False, special=True))
        elif token_kind == USER_DEFINED and spelled == token:
            whole.append(AddedToken(token, normalized=False, special=False))
    backend.add_special_tokens(special)
    backend.add_tokens(whole)
    if backend.get_vocab_size() != len(tokens):
        raise InputError(f"{file.path}: its list of tokens names one twice; use another file")
    adds_bos = file.get("tokenizer.ggml.add_bos_token", kind == "llama")
    if adds_bos and "bos_token" in named:
        bos = named["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos}:0 $A:0", pair=f"{bos}:0 $A:0 {bos}:1 $B:1", special_tokens=[(bos, tokens.index(bos))]
        )
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **named,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "left",
    }
    template = file.get("tokenizer.chat_template")
    if template:
        config["chat_template"] = template
    write_atomic(directory / "tokenizer.json", backend.to_str(pretty=True))
    write_json(directory / "tokenizer_config.json", config)


def _named_tokens(file: GGUFFile, tokens: list[str]) -> dict[str, str]:
    """The tokens that have a role, by Hugging Face's name of it."""
    roles = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    ids = {role: file.get(f"tokenizer.ggml.{key}_token_id") for role, key in roles.items()}
    return {role: tokens[index] for role, index in ids.items() if index is not None and index < len(tokens)}


def _byte_level(file: GGUFFile, tokens: list[str]) -> tokenizers.Tokenizer:
    name = file.get("tokenizer.ggml.pre")
    if name in (None, "default") and file.architecture in ("gpt2", "gptneox"):  # written before it was recorded
        name = _GPT_2 if file.architecture == "gpt2" else _NEOX
    name = _SAME_AS.get(name, name)
    if name not in KNOWN:
        known = ", ".join(KNOWN)
        raise InputError(f"{file.path}: its tokenizer splits text as {name!r}; the known ways are {known}")
    merges = [tuple(merge.split(" ")) for merge in file.need("tokenizer.ggml.merges")]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    try:
        backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=name == _LLAMA_3))
    except Exception as error:  # the library raises bare Exception for a merge of tokens that are not there
        raise InputError(f"{file.path}: its merges do not fit its tokens ({error}); use another file") from None
    split_like(backend, name)
    backend.decoder = decoders.ByteLevel()
    return backend


def split_like(backend: tokenizers.Tokenizer, name: str) -> None:
    """Have text normalised and split before merging in one of the :data:`KNOWN` ways."""
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=name in (_GPT_2, _SMOLLM, _NEOX))
    before: list[Any] = []
    if name == _SMOLLM:
        before = [pre_tokenizers.Digits(individual_digits=True)]
    elif name in (_LLAMA_3, _QWEN):
        split = _SPLIT.format(digits="{1,3}" if name == _LLAMA_3 else "")
        before = [pre_tokenizers.Split(Regex(split), behavior="isolated")]
    backend.pre_tokenizer = pre_tokenizers.Sequence([*before, whole]) if before else whole
    if name in (_QWEN, _NEOX):
        backend.normalizer = normalizers.NFC()


def _respelled(file: GGUFFile, tokens: list[str]) -> list[str]:
    """Gemma's runs of spaces are stored as spaces, its other tokens with SentencePiece's sign for them."""
    if file.architecture != "gemma3":
        return tokens
    return [_SPACE * len(token) if token and not token.strip(" ") else token for token in tokens]


def _sentencepiece(file: GGUFFile, tokens: list[str], kinds: list[int]) -> tokenizers.Tokenizer:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if file.architecture == "gemma3":  # its scores do not tell the order of merging, its ids do
        ranks = list(range(len(tokens)))
    else:
        scores: list[float] = file.need("tokenizer.ggml.scores")
        ranks = [-1] * len(tokens)
        for rank, index in enumerate(sorted(range(len(tokens)), key=lambda index: -scores[index])):
            ranks[index] = rank
    unknown = file.get("tokenizer.ggml.unknown_token_id", 0)
    model = models.BPE(
        vocabulary, _merges(vocabulary, ranks, kinds), unk_token=tokens[unknown], fuse_unk=True, byte_fallback=True
    )
    backend = tokenizers.Tokenizer(model)
    prefixed = file.get("tokenizer.ggml.add_space_prefix", True)
    spaces = normalizers.Replace(" ", _SPACE)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), spaces]) if prefixed else spaces
    steps: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefixed:
        steps.append(decoders.Strip(content=" ", left=1, right=0))
    backend.decoder = decoders.Sequence(steps)
    return backend


def _merges(vocabulary: dict[str, int], ranks: list[int], kinds: list[int]) -> list[tuple[str, str]]:
    """The merges that SentencePiece's rule amounts to: of all neighbours, join those whose whole ranks first.

    What no text becomes (control tokens, bytes) is not made of parts, so that nobody can type it.
    """
    found = []
    for token, index in vocabulary.items():
        if kinds[index] in (CONTROL, UNUSED, BYTE):
            continue
        for cut in range(1, len(token)):
            left, right = vocabulary.get(token[:cut]), vocabulary.get(token[cut:])
            if left is not None and right is not None:
                found.append((ranks[index], left, right, token[:cut], token[cut:]))
    found.sort()
    return [(left, right) for *_, left, right in found]
