"""Text to ids and back in which nobody can type a special token, over the `tokenizers` library.

A tokenizer of the SentencePiece kind may put a space before a text, depending on what the text follows. A renderer that
encodes a conversation in pieces must say so for each, or the ids differ from those of the conversation as one string.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken

from preceptor.errors import InputError
from preceptor.text.layout import Opening


class Part(NamedTuple):
    """The tokens of one of the texts that were encoded together."""

    ids: list[int]
    text: int  # which of the texts


class Codec:
    """Encoding without special tokens. It takes the backend over.

    ``control`` are the tokens of a backend that others made which no text may become: the special ones, and what
    else their chat format is made of. Those that the backend does not have are added.
    """

    def __init__(self, backend: tokenizers.Tokenizer, control: Sequence[str] = ()) -> None:
        self._backend = backend
        self._openings = dict.fromkeys(("start", "special", "middle"), backend)
        self._control_ids: frozenset[int] = frozenset()
        self._guarded_ids: frozenset[int] = frozenset()  # what no text may become
        self.swallows: dict[int, tuple[bool, bool]] = {}  # special token -> does it take white space left and right
        self._control_pattern: re.Pattern[str] | None = None
        if control:
            self._adopt(control)
        for one in self._openings.values():
            # Without this, "<|user|>" in someone's text would become the real marker.
            one.encode_special_tokens = True

    def _adopt(self, control: Sequence[str]) -> None:
        """Set up for a tokenizer that others made: its control tokens, and its rule for leading spaces."""
        backend = self._backend
        backend.no_truncation()
        backend.no_padding()
        backend.post_processor = None
        known = {token.content: token for token in backend.get_added_tokens_decoder().values()}
        for name in control:
            token = known.get(name) or AddedToken(name, normalized=False)
            if not token.special:  # added once more, it becomes so
                token.special = True
                backend.add_special_tokens([token])
        special = {number: token for number, token in backend.get_added_tokens_decoder().items() if token.special}
        self.swallows = {number: (token.lstrip, token.rstrip) for number, token in special.items()}
        names = {token.content: number for number, token in special.items()}
        steps = {name: _settings(getattr(backend, name)) for name in ("normalizer", "pre_tokenizer")}
        for opening in ("special", "middle"):
            changed = {name: _without_space(step, inside=opening == "middle") for name, step in steps.items()}
            if changed != steps:
                whole = json.loads(backend.to_str()) | changed
                self._openings[opening] = tokenizers.Tokenizer.from_str(json.dumps(whole, ensure_ascii=False))
        self._control_ids = frozenset(names.values())
        unknown = names.get(getattr(backend.model, "unk_token", None) or "")
        self._guarded_ids = self._control_ids - {unknown}
        self._control_pattern = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text by itself, on all threads."""
        try:
            encodings = self._openings["start"].encode_batch(list(texts), add_special_tokens=False)
        except TypeError:  # what the library says to a string that is no valid Unicode
            for text in texts:
                check_unicode(text)
            raise
        found = [one.ids for one in encodings]
        if self._guarded_ids:
            for row, ids in enumerate(found):
                if not self._guarded_ids.isdisjoint(ids):
                    found[row] = self._around_markers(texts[row], "start")
        return found

    def encode_after(self, opening: Opening, text: str) -> list[int]:
        """The ids of a text that stands after what ``opening`` says."""
        ids = self._encode_one(self._openings[opening], text).ids
        if self._guarded_ids.isdisjoint(ids):
            return ids
        return self._around_markers(text, opening)

    def encode_parts(self, opening: Opening, texts: Sequence[str]) -> list[Part]:
        """The ids of texts that stand together as one, after what ``opening`` says; a part for each that got any.

        A token across a border belongs to the text in which it ends.
        """
        encoding = self._encode_one(self._openings[opening], "".join(texts))
        ids = encoding.ids
        if not self._guarded_ids.isdisjoint(ids):
            # No offsets here, so each text goes by itself.
            apart = [self.encode_after(opening if i == 0 else "middle", text) for i, text in enumerate(texts)]
            return [Part(one, i) for i, one in enumerate(apart) if one]
        ends, end = [], 0
        for text in texts:
            end += len(text)
            ends.append(end)
        parts: list[Part] = []
        for token, (_, stop) in zip(ids, encoding.offsets, strict=True):
            owner = bisect_left(ends, max(stop, 1))
            if not parts or parts[-1].text != owner:
                parts.append(Part([], owner))
            parts[-1].ids.append(token)
        return parts

    def special_tokens(self, text: str) -> list[tuple[int, int, int]]:
        """(start, stop, id) of the special tokens in a text of the format's own, where they are meant."""
        backend = self._openings["start"]
        backend.encode_special_tokens = False
        try:
            encoding = self._encode_one(backend, text)
        finally:
            backend.encode_special_tokens = True
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        return [(start, stop, token) for token, (start, stop) in pairs if token in self._control_ids]

    def decode(self, ids: Sequence[int], skip: Collection[int]) -> str:
        """The text of ``ids`` without those of ``skip``; bytes that are no UTF-8 become U+FFFD."""
        return self._backend.decode([token for token in ids if token not in skip], skip_special_tokens=False)

    def _around_markers(self, text: str, opening: Opening) -> list[int]:
        """A text in which a vocabulary that looks whole words up would find a control token: cut inside of it."""
        assert self._control_pattern is not None
        cuts = [0, *(found.start() + 1 for found in self._control_pattern.finditer(text)), len(text)]
        ids: list[int] = []
        for start, stop in pairwise(cuts):
            backend = self._openings[opening if start == 0 else "middle"]
            ids += self._encode_one(backend, text[start:stop]).ids
        if not self._guarded_ids.isdisjoint(ids):
            raise InputError(f"the tokenizer makes a special token of the text {text[:40]!r}; take it out of the data")
        return ids

    @staticmethod
    def _encode_one(backend: tokenizers.Tokenizer, text: str) -> tokenizers.Encoding:
        try:
            return backend.encode(text, add_special_tokens=False)
        except TypeError:
            check_unicode(text)
            raise


def check_unicode(text: str) -> None:
    """Raise :class:`InputError` for a text that no UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"character {error.start} of a text is half a surrogate pair; repair the text") from None


def _settings(step: Any) -> Any:
    """A normalizer or pre-tokenizer as tokenizer.json has it."""
    return None if step is None else json.loads(step.__getstate__())


def _without_space(step: Any, *, inside: bool) -> Any:
    """A normalizer or pre-tokenizer for text that is not the first of its string.

    Metaspace with the scheme "first" then adds no space. What adds one to every text does so after a special token
    too, but not ``inside`` a text.
    """
    if not isinstance(step, dict):
        return step
    kind = step.get("type")
    for key in ("normalizers", "pretokenizers"):
        if key in step:
            kept = [_without_space(one, inside=inside) for one in step[key]]
            return {**step, key: [one for one in kept if one is not None]}
    if kind == "Metaspace" and (inside or step.get("prepend_scheme") == "first"):
        return {**step, "prepend_scheme": "never"}
    if kind == "Prepend" and inside:
        return None
    if kind == "ByteLevel" and inside and step.get("add_prefix_space"):
        return {**step, "add_prefix_space": False}
    return step
