"""The bytes that single tokens stand for, which may be part of a character.

Vocabularies write them in two ways. Byte-level ones (GPT-2's) have a printable character for every byte: those that are
printable in Latin-1 stand for themselves, the others, in order, for the characters from U+0100 on. SentencePiece has
plain text with ``▁`` for the space, and ``<0xE2>`` for a byte that is part of something rare.
"""

import re

import tokenizers

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = [byte for byte in range(0x100) if byte not in _PRINTABLE]
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE} | {chr(0x100 + at): byte for at, byte in enumerate(_OTHERS)}
_HEXADECIMAL = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenBytes:
    """The tokens of a vocabulary as bytes."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        kind = b"" if backend.decoder is None else backend.decoder.__getstate__()
        self._byte_level = b'"ByteLevel"' in kind

    def name(self, token: int) -> str:
        """The token as the vocabulary writes it."""
        return self._backend.id_to_token(token) or f"<{token}>"

    def of(self, token: int) -> bytes:
        """The bytes that the token adds to a text, with the space that it begins with."""
        written = self._backend.id_to_token(token) or ""
        if self._byte_level and all(character in _BYTE_OF for character in written):
            return bytes(_BYTE_OF[character] for character in written)
        byte = _HEXADECIMAL.fullmatch(written)
        return bytes([int(byte[1], 16)]) if byte else written.replace("▁", " ").encode()
