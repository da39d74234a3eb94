"""Pieces of text: whole characters, no piece of a stop string, and their sum is the text."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from preceptor.text.stream import TextStream


def decode(ids: Sequence[int]) -> str:
    return bytes(ids).decode(errors="replace")


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=3), max_size=2))
def test_pieces_add_up_to_the_text_before_the_first_stop(text: str, stops: list[str]) -> None:
    stream, said, ids = TextStream(decode, stops), "", list(text.encode())
    for number, one in enumerate(ids):
        said += stream.push([one], last=number == len(ids) - 1)
        assert text.startswith(said)  # so no character came in halves
        if stream.stopped:
            break
    ends = [text.find(stop) for stop in stops if stop in text]
    assert stream.stopped == bool(ends)
    assert len(said) <= len(text)
    if not ends:
        assert said == text
    else:
        assert any(text[len(said) :].startswith(stop) for stop in stops)
