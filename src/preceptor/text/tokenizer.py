"""A tokenizer whose special tokens cannot be typed: one that Preceptor trained, or that of any Hugging Face model.

Both are the `tokenizers` library's and live in Hugging Face's files, so `transformers` and vLLM load what
is saved unchanged. With it comes the layout of conversations: the chat template that the model has, else ours.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from preceptor.errors import InputError
from preceptor.files import write_atomic
from preceptor.text.codec import Codec, Part, check_unicode
from preceptor.text.foreign import read_foreign
from preceptor.text.huggingface import CONFIG, GENERATION, TOKENIZER, read_source
from preceptor.text.layout import CHAT_TEMPLATE, Opening, OurLayout, Role
from preceptor.text.parts import Parts
from preceptor.text.specials import Specials
from preceptor.text.token_bytes import TokenBytes

# The order is the id: 0 to 6 in every tokenizer of ours. Pad is never the end, else the end would lose its label.
SPECIALS = ("<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|mask|>")
PAD_ID, BEGIN_ID, END_ID, SYSTEM_ID, USER_ID, ASSISTANT_ID, MASK_ID = range(len(SPECIALS))
MIN_VOCAB_SIZE = len(SPECIALS) + 256  # specials and every byte: any text can be encoded

_OURS = Specials(BEGIN_ID, (END_ID,), END_ID, PAD_ID, MASK_ID, frozenset(range(len(SPECIALS))))


class Tokenizer:
    """Text to ids and back. Special tokens only come from the renderer. With ours, any Unicode text round-trips."""

    def __init__(self, backend: tokenizers.Tokenizer, parts: Parts | None = None) -> None:
        self._backend = backend
        self._parts = parts = _our_parts(backend) if parts is None else parts
        self._codec, self._specials = parts.codec, parts.specials
        self._skipped = parts.specials.ids.union(parts.specials.eos_ids)
        self.layout = parts.layout

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """Learn merges from ``texts`` until there are ``vocab_size`` tokens, specials and bytes included.

        Deterministic: equal counts are settled by token id, whatever the threads do. A small text may
        run out of pairs to merge before; ``.vocab_size`` is what came out.
        """
        if vocab_size < MIN_VOCAB_SIZE:
            raise InputError(
                f"vocab_size {vocab_size} cannot hold the special tokens and 256 bytes; use at least {MIN_VOCAB_SIZE}"
            )
        backend = tokenizers.Tokenizer(models.BPE())
        # The pre-tokenizer splits "<|", "user" and "|>" apart, so no merge can ever form a special token's text.
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[AddedToken(token, normalized=False, special=True) for token in SPECIALS],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        backend.train_from_iterator(_nonempty(texts), trainer)
        return cls(backend)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the tokenizer of a Hugging Face directory, ours or another's. Only ``tokenizer.json`` is needed.

        A directory without a chat template gets our layout. Its role markers are new special tokens then, in
        :attr:`added` with their ids; so is a pad token where the vocabulary has nothing to pad with. A model
        with fewer rows than :attr:`vocab_size` must be given the missing ones. Raises :class:`InputError` for
        files that are missing or malformed, and a chat template that is of no use.
        """
        source = read_source(Path(directory))
        found = source.backend.get_added_tokens_decoder()
        first = [found.get(number) for number in range(len(SPECIALS))]
        if tuple(token.content if token else "" for token in first) == SPECIALS:
            for number, token in enumerate(first):
                if token is None or not token.special:
                    raise InputError(
                        f"{source.directory / TOKENIZER}: token {number} is not the special {SPECIALS[number]}; "
                        "use a tokenizer made by `preceptor tokenizer`"
                    )
            if source.template in (None, CHAT_TEMPLATE):
                return cls(source.backend)
        return cls(source.backend, read_foreign(source))

    def save(self, directory: Path) -> None:
        """Write the tokenizer's files into ``directory``, beside what is there.

        Another's files stay as they were, but for what was added or could not be kept (see `foreign`).
        """
        for name, content in self._parts.files().items():
            write_atomic(Path(directory) / name, content)

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``; nothing is added, and a special token in it is text like any other."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of each text, on all threads."""
        return self._codec.encode_batch(texts)

    def encode_after(self, opening: Opening, text: str) -> list[int]:
        """A text at its place in a conversation; see :meth:`Codec.encode_after`."""
        return self._codec.encode_after(opening, text)

    def encode_parts(self, opening: Opening, texts: Sequence[str]) -> list[Part]:
        """Texts that stand together as one in a conversation; see :meth:`Codec.encode_parts`."""
        return self._codec.encode_parts(opening, texts)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids`` without the special tokens; bytes that are no UTF-8 become U+FFFD."""
        return self._codec.decode(ids, self._skipped)

    def name_of(self, token: int) -> str:
        """A token as the vocabulary writes it."""
        return self._token_bytes.name(token)

    def bytes_of(self, token: int) -> bytes | None:
        """What a token adds to a text, which may be part of a character; None for one that :meth:`decode` leaves out.

        Those of a text's tokens one after the other are the text, but for a space that some vocabularies put
        before the first.
        """
        return None if token in self._skipped else self._token_bytes.of(token)

    @cached_property
    def _token_bytes(self) -> TokenBytes:
        return TokenBytes(self._backend)

    @property
    def vocab_size(self) -> int:
        """Ids run from 0 to this; a model may have more rows."""
        return self._parts.vocab_size

    @property
    def added(self) -> Mapping[str, int]:
        """Tokens that the loaded vocabulary did not have, and their ids, the last ones. Empty once it is saved."""
        return self._parts.added

    @property
    def pad_id(self) -> int:
        """Never one of :attr:`eos_ids`."""
        return self._specials.pad_id

    @property
    def bos_id(self) -> int | None:
        """What a text of a corpus opens with, if anything does."""
        return self._specials.bos_id

    @property
    def eos_id(self) -> int:
        """The end of a turn."""
        return self._specials.eos_ids[0]

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every token at which a response stops, :attr:`eos_id` first."""
        return self._specials.eos_ids

    @property
    def document_end_id(self) -> int:
        """What a text of a corpus closes with."""
        return self._specials.document_end_id

    @property
    def mask_id(self) -> int | None:
        """What hides a token in masked language modelling, if there is such a token."""
        return self._specials.mask_id

    @property
    def special_ids(self) -> frozenset[int]:
        """Every special token."""
        return self._specials.ids

    @property
    def has_own_template(self) -> bool:
        """Whether conversations are laid out by a chat template of the model's own."""
        return not isinstance(self.layout, OurLayout)

    @property
    def role_ids(self) -> dict[Role, int]:
        """The role markers of our layout; none with a chat template."""
        return self.layout.role_ids if isinstance(self.layout, OurLayout) else {}

    def document(self, ids: Sequence[int]) -> list[int]:
        """A text of a corpus between its begin and its end."""
        begin = [] if self.bos_id is None else [self.bos_id]
        return [*begin, *ids, self.document_end_id]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the table, the template and the special ids: equal fingerprints give equal ids.

        Saving and loading keep it. What else generation_config.json holds is the model's, and not in it.
        """
        one = self._specials
        digest = hashlib.sha256(repr((one.bos_id, one.eos_ids, one.document_end_id, one.pad_id, one.mask_id)).encode())
        for name, content in sorted(self._parts.files().items()):
            if name != GENERATION:
                digest.update(b"%s\0%d\0" % (name.encode(), len(content)) + content)
        return digest.hexdigest()


def _our_parts(backend: tokenizers.Tokenizer) -> Parts:
    layout = OurLayout(BEGIN_ID, END_ID, {"system": SYSTEM_ID, "user": USER_ID, "assistant": ASSISTANT_ID})
    return Parts(Codec(backend), _OURS, layout, backend.get_vocab_size(), partial(_our_files, backend), added={})


def _our_files(backend: tokenizers.Tokenizer) -> dict[str, bytes]:
    config = json.dumps(_hugging_face_config(), indent=2, ensure_ascii=False) + "\n"
    return {TOKENIZER: backend.to_str(pretty=True).encode(), CONFIG: config.encode()}


def _nonempty(texts: Iterable[str]) -> Iterator[str]:
    """The texts, or an error if there is nothing at all to learn from."""
    empty = True
    for text in texts:
        check_unicode(text)
        empty = empty and not text
        yield text
    if empty:
        raise InputError("the tokenizer has no text to learn from; give it at least one text that is not empty")


def _hugging_face_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIALS[PAD_ID],
        "bos_token": SPECIALS[BEGIN_ID],
        "eos_token": SPECIALS[END_ID],
        "mask_token": SPECIALS[MASK_ID],
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],  # no token types: `generate` would refuse them
        "padding_side": "left",  # a decoder goes on from the right end
        "chat_template": CHAT_TEMPLATE,
    }
