"""What the event loop is told of an engine, and when."""

import asyncio
from collections.abc import Callable

import pytest

from preceptor.generation.sampling import SamplingConfig
from preceptor.models.transformer import Transformer
from preceptor.serving import writer as module
from preceptor.serving.worker import BrokenError, Job
from preceptor.serving.writer import Order, Piece
from preceptor.text.tokenizer import Tokenizer

from ..in_thread import ThreadWorker


def told(model: Transformer, tokenizer: Tokenizer, stops: tuple[str, ...] = ()) -> list[Piece]:
    """All pieces of a job of three samples, over two slots."""

    async def listen() -> list[Piece]:
        job = Job(Order([tokenizer.encode("hello")], SamplingConfig(max_new_tokens=40, seed=3), each=3, stops=stops))
        assert worker.submit(job)
        pieces: list[Piece] = []
        while sum(piece.finish_reason is not None for piece in pieces) < 3:
            piece = await asyncio.wait_for(job.pieces.get(), 60)
            assert not isinstance(piece, BrokenError)
            pieces.append(piece)
        return pieces

    worker = ThreadWorker(model, tokenizer, slots=2)
    try:
        return asyncio.run(listen())
    finally:
        worker.close()


def replies(pieces: list[Piece]) -> list[tuple[str, int, str | None]]:
    own = [[piece for piece in pieces if piece.sample == sample] for sample in range(3)]
    return [("".join(piece.text for piece in some), some[-1].tokens, some[-1].finish_reason) for some in own]


def test_pieces_may_be_far_between_but_the_first_comes_at_once(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(max_position_embeddings=128)
    monkeypatch.setattr(module, "TELL_SECONDS", 0.0)
    often = told(model, tiny_tokenizer)
    monkeypatch.setattr(module, "TELL_SECONDS", 3600.0)
    seldom = told(model, tiny_tokenizer)
    assert replies(seldom) == replies(often)
    assert len(often) > 30
    for sample in range(3):
        first, *rest = (piece for piece in seldom if piece.sample == sample)
        assert first.text and first.tokens < 10
        assert len(rest) <= 2  # the very first step tells everything


def test_a_stop_string_ends_a_reply_at_its_token_however_seldom_pieces_are(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(max_position_embeddings=128)
    monkeypatch.setattr(module, "TELL_SECONDS", 3600.0)
    whole = replies(told(model, tiny_tokenizer))
    stop = whole[0][0][6:8]
    text, tokens, reason = replies(told(model, tiny_tokenizer, (stop,)))[0]
    assert (text, reason) == (whole[0][0].partition(stop)[0], "stop")
    assert tokens < whole[0][1]
