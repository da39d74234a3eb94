"""The bytes of single tokens make up the text, in every style of vocabulary."""

from pathlib import Path

import pytest

from preceptor.text.tokenizer import Tokenizer

from .styles import STYLES

HARD = "Österreich, 中国 🙂🙂  é 🦙\n\n\tx<think>"


@pytest.mark.parametrize("name", STYLES)
def test_they_make_up_the_text(name: str, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(STYLES[name].write(tmp_path))
    ids = tokenizer.encode(HARD)
    pieces = [tokenizer.bytes_of(token) for token in ids]
    text = b"".join(piece for piece in pieces if piece is not None).decode()
    assert text.removeprefix(" ") == HARD == tokenizer.decode(ids)
    assert any(len(piece) == 1 and piece >= b"\x80" for piece in pieces if piece)  # part of a character


def test_what_is_left_out_of_texts_has_a_name_and_no_bytes(tokenizer: Tokenizer) -> None:
    for token in tokenizer.special_ids:
        assert tokenizer.bytes_of(token) is None
    assert tokenizer.name_of(tokenizer.eos_id) == "<|end|>"
    assert tokenizer.name_of(10**6) == "<1000000>"
