"""A byte-level BPE tokenizer whose special tokens cannot be typed.

It is the `tokenizers` library's, saved in Hugging Face's files, so `transformers` and vLLM load it unchanged.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from preceptor.errors import InputError
from preceptor.files import read_text, write_atomic, write_json
from preceptor.text.conversation import CHAT_TEMPLATE

# The order is the id: 0 to 6 in every tokenizer of ours. Pad is never the end, else the end would lose its label.
SPECIALS = ("<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|mask|>")
PAD_ID, BEGIN_ID, END_ID, SYSTEM_ID, USER_ID, ASSISTANT_ID, MASK_ID = range(len(SPECIALS))
MIN_VOCAB_SIZE = len(SPECIALS) + 256  # specials and every byte: any text can be encoded


class Tokenizer:
    """Text to ids and back. Any Unicode text round-trips; special tokens only come from the renderer."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        # Without this, "<|user|>" in someone's text would become the real marker. It is not saved with
        # the file, so a chat template read by `transformers` still gets its markers.
        backend.encode_special_tokens = True
        self._backend = backend

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
        """Read what :meth:`save` wrote. Only ``tokenizer.json`` is needed."""
        path = Path(directory) / "tokenizer.json"
        text = read_text(path)
        try:
            backend = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exception for anything malformed
            raise InputError(f"{path}: not a tokenizer ({error}); write it with `preceptor tokenizer`") from None
        added = backend.get_added_tokens_decoder()
        for number, token in enumerate(SPECIALS):
            found = added.get(number)
            if found is None or found.content != token or not found.special:
                raise InputError(
                    f"{path}: token {number} is not the special {token}; use a tokenizer made by `preceptor tokenizer`"
                )
        return cls(backend)

    def save(self, directory: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` into ``directory``, beside what is there."""
        write_atomic(Path(directory) / "tokenizer.json", self._backend.to_str(pretty=True))
        write_json(Path(directory) / "tokenizer_config.json", _hugging_face_config())

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``; nothing is added, and a special token in it is text like any other."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of each text, on all threads."""
        try:
            encodings = self._backend.encode_batch(list(texts), add_special_tokens=False)
        except TypeError:  # what the library says to a string that is no valid Unicode
            for text in texts:
                _check_unicode(text)
            raise
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids`` without the special tokens; bytes that are no UTF-8 become U+FFFD."""
        return self._backend.decode(list(ids), skip_special_tokens=True)

    @property
    def vocab_size(self) -> int:
        return self._backend.get_vocab_size()

    @property
    def pad_id(self) -> int:
        return PAD_ID

    @property
    def bos_id(self) -> int:
        return BEGIN_ID

    @property
    def eos_id(self) -> int:
        return END_ID

    @property
    def mask_id(self) -> int:
        return MASK_ID

    @property
    def role_ids(self) -> dict[str, int]:
        return {"system": SYSTEM_ID, "user": USER_ID, "assistant": ASSISTANT_ID}

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that :meth:`save` writes: equal fingerprints give equal ids."""
        saved = [self._backend.to_str(), json.dumps(_hugging_face_config())]
        return hashlib.sha256("\0".join(saved).encode()).hexdigest()


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"character {error.start} of a text is half a surrogate pair; repair the text") from None


def _nonempty(texts: Iterable[str]) -> Iterator[str]:
    """The texts, or an error if there is nothing at all to learn from."""
    empty = True
    for text in texts:
        _check_unicode(text)
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
