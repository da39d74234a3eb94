"""From a tokenizer directory that others made to what the renderer needs, and back to a directory.

A model without a chat template gets our layout. Its three role markers become new special tokens, because nothing
that is plain text could be told from what a person types; the end of a turn is the model's own ``eos_token``, which it
and every engine that serves it already know, and so is the begin.

What is written back differs from what was read only where something was added: new tokens, the token to pad with,
our template, special tokens that only an id in a model's config had named, the switch that keeps a template from
asking for thoughts (`template`), and a flag that would make transformers place spaces otherwise than tokenizer.json.
"""

import json
from functools import cache, partial
from itertools import takewhile
from typing import Any

from preceptor.errors import InputError
from preceptor.text.codec import Codec
from preceptor.text.frames import TemplateLayout, end_of_turn
from preceptor.text.huggingface import CONFIG, GENERATION, MAP, TEMPLATE, TOKENIZER, Source
from preceptor.text.layout import CHAT_TEMPLATE, Layout, OurLayout, Role
from preceptor.text.parts import Parts
from preceptor.text.specials import Specials, choose_pad
from preceptor.text.template import Template

_ROLE_MARKERS: dict[Role, str] = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
_END = "<|end|>"
_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


class _Vocabulary:
    """Token to id, with the tokens that are added."""

    def __init__(self, source: Source) -> None:
        self._ids = source.backend.get_vocab(with_added_tokens=True)
        self.known_size = self.size = max(self._ids.values(), default=-1) + 1
        found = source.backend.get_added_tokens_decoder()
        self.added = {token.content: number for number, token in found.items()}
        self.special = {token.content: number for number, token in found.items() if token.special}
        self.entries: dict[str, int] = {}  # added tokens that tokenizer.json lacks

    def require(self, token: str) -> int:
        """The id of a special token, which is made one, or made, if need be."""
        if token not in self._ids:
            self._ids[token] = self.size
            self.size += 1
        if token not in self.added:
            self.entries[token] = self.added[token] = self._ids[token]
        self.special[token] = self._ids[token]
        return self._ids[token]

    @property
    def new(self) -> dict[str, int]:
        """Tokens that had no id before."""
        return {token: number for token, number in self.entries.items() if number >= self.known_size}


def read_foreign(source: Source) -> Parts:
    """Find the layout and the special tokens of a directory. Raises :class:`InputError` if it has no end token."""
    vocabulary, tokens = _Vocabulary(source), dict(source.tokens)
    for token in _tokens_of_config(source.config):
        vocabulary.require(token)
    for token in tokens.values():
        vocabulary.require(token)
    template: Template | None = None
    literals: list[str] = []
    if source.template is None or source.template == CHAT_TEMPLATE:
        tokens.setdefault("eos_token", _END)
        for token in (*_ROLE_MARKERS.values(), tokens["eos_token"]):
            vocabulary.require(token)
    else:
        template = Template(source.template, tokens, source.directory)
        literals = template.literals
    before_text = _before_text(source)
    codec = _codec(source, vocabulary, literals)
    bos_id, eos_id = (vocabulary.special[tokens[n]] if n in tokens else None for n in ("bos_token", "eos_token"))
    turn_end = eos_id if template is None else end_of_turn(template, codec)
    ends = [turn_end, eos_id, *(number for number in source.eos_ids if number < vocabulary.size)]
    eos_ids = tuple(dict.fromkeys(number for number in ends if number is not None))
    if not eos_ids:
        raise InputError(f"{source.directory}: no token ends a response; set eos_token in {CONFIG}")
    role_ids = {role: vocabulary.special[marker] for role, marker in _ROLE_MARKERS.items()} if template is None else {}
    layout: Layout
    if template is None:
        layout = OurLayout(bos_id, eos_ids[0], role_ids)
    else:
        layout = TemplateLayout(template, codec, eos_ids[0])
    _set_pad(tokens, vocabulary, literals, {*eos_ids, bos_id, *role_ids.values()})
    specials = Specials(
        bos_id=bos_id,
        eos_ids=eos_ids,
        document_end_id=eos_ids[0] if eos_id is None else eos_id,
        pad_id=vocabulary.special[tokens["pad_token"]],
        mask_id=vocabulary.special[tokens["mask_token"]] if "mask_token" in tokens else None,
        ids=frozenset(vocabulary.special.values()),
    )
    said = CHAT_TEMPLATE if template is None else template.source
    files = cache(partial(_files, source, tokens, vocabulary.entries, said, specials))
    return Parts(codec, specials, layout, vocabulary.size, files, vocabulary.new, before_text)


def _tokens_of_config(config: dict[str, Any]) -> list[str]:
    """Added tokens that tokenizer_config.json lists by id; transformers adds those that tokenizer.json lacks."""
    listed = config.get("added_tokens_decoder")
    if not isinstance(listed, dict):
        return []
    by_id = sorted(listed.items(), key=lambda item: int(item[0]) if str(item[0]).isdigit() else 0)
    found = [entry.get("content") for _, entry in by_id if isinstance(entry, dict) and entry.get("special")]
    return [token for token in found if isinstance(token, str) and token]


def _before_text(source: Source) -> tuple[int, ...]:
    """The ids that tokenizer.json puts before a text. Transformers follows it and not ``add_bos_token``."""
    encoding = source.backend.encode("a")
    marked = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
    return tuple(number for number, _ in takewhile(lambda pair: pair[1], marked))


def _set_pad(tokens: dict[str, str], vocabulary: _Vocabulary, literals: list[str], taken: set[int | None]) -> None:
    used = {number for number in taken if number is not None}
    special = vocabulary.special
    pad = choose_pad(tokens.get("pad_token"), tokens.get("unk_token"), special, taken=used, literals=literals)
    vocabulary.require(pad)
    tokens["pad_token"] = pad


def _codec(source: Source, vocabulary: _Vocabulary, literals: list[str]) -> Codec:
    """The special tokens, and whatever added token the template is written in, are its control tokens."""
    text = "\0".join(literals)
    written = [
        name for name in vocabulary.added if name in text and not name.isspace() and name not in vocabulary.special
    ]
    control = sorted(vocabulary.special, key=lambda name: vocabulary.special[name])
    codec = Codec(source.backend, [*control, *written])
    for token, number in vocabulary.entries.items():
        if source.backend.token_to_id(token) != number:
            raise InputError(f"{source.directory / TOKENIZER}: {token} cannot be added as token {number}; renumber it")
    return codec


def _with_tokens(source: Source, entries: dict[str, int]) -> bytes:
    """tokenizer.json with further special tokens."""
    if not entries:
        return source.files[TOKENIZER]
    settings = json.loads(source.files[TOKENIZER])
    settings["added_tokens"] += [{"id": number, "content": token, **_FLAGS} for token, number in entries.items()]
    return _dump(settings)


def _files(
    source: Source, tokens: dict[str, str], entries: dict[str, int], template: str, specials: Specials
) -> dict[str, bytes]:
    files = dict(source.files)
    files[TOKENIZER] = _with_tokens(source, entries)
    config = dict(source.config)
    if not config:
        config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        config["model_input_names"] = ["input_ids", "attention_mask"]
    for name in ("bos_token", "eos_token", "pad_token"):
        known = name in source.config or name in source.token_map  # else an id has named it, which is no file of ours
        if name in tokens and not (known and tokens[name] == source.tokens.get(name)):
            config[name] = tokens[name]
    if str(config.get("tokenizer_class")).startswith("Llama"):
        # This class of transformers 5 makes its own rule for spaces from `legacy`, whatever tokenizer.json says.
        legacy = source.backend.normalizer is not None and b'"Prepend"' in source.backend.normalizer.__getstate__()
        if legacy != bool(config.get("legacy")):
            config["legacy"] = legacy
    listed = config.get("added_tokens_decoder")
    if isinstance(listed, dict) and entries:
        config["added_tokens_decoder"] = listed | {
            str(number): {"content": token, **_FLAGS} for token, number in entries.items()
        }
    if template != source.template:
        if TEMPLATE in files:
            files[TEMPLATE] = template.encode()
        elif isinstance(config.get("chat_template"), list):
            named = config["chat_template"]
            config["chat_template"] = [
                {**one, "template": template} if one["name"] == "default" else one for one in named
            ]
        else:
            config["chat_template"] = template
    if config != source.config:
        files[CONFIG] = _dump(config)
    if source.token_map and source.tokens.get("pad_token") != tokens["pad_token"]:
        files[MAP] = _dump(source.token_map | {"pad_token": tokens["pad_token"]})
    ends = list(specials.eos_ids)
    generation = {
        **source.generation,
        "bos_token_id": specials.bos_id,
        "eos_token_id": ends if len(ends) > 1 else ends[0],
        "pad_token_id": specials.pad_id,
    }
    files[GENERATION] = _dump(generation)
    return files


def _dump(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
