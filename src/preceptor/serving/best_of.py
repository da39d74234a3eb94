"""The best of several replies, as a reward model sees them: sampled, scored, and only then sent."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from preceptor.errors import InputError
from preceptor.models.heads import ScalarModel
from preceptor.serving.refusals import RefusalError
from preceptor.serving.replies import Reply
from preceptor.serving.writer import Chosen, Piece
from preceptor.text.conversation import Message, render_replies
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.scoring import sequence_scores

WAITING = 64  # requests with replies to score; beyond that no new ones are taken on


class Judge:
    """A reward model on a thread of its own, which keeps neither the event loop nor an engine waiting.

    It reads text and not tokens, by its own tokenizer, so it may judge any model.
    """

    def __init__(self, model: ScalarModel, tokenizer: Tokenizer) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._waiting = 0

    @property
    def full(self) -> bool:
        """Whether it has as much to score as it should."""
        return self._waiting >= WAITING

    async def scores(self, messages: Sequence[Message], replies: Sequence[str]) -> list[float]:
        """The score of each reply to a conversation, read as if it ended where it was cut off."""
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._thread.submit(self._scores, messages, replies))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what is under way, and end the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _scores(self, messages: Sequence[Message], replies: Sequence[str]) -> list[float]:
        tokenizer, trunk = self._tokenizer, self._model.trunk
        try:
            sequences = [one.ids for one in render_replies(tokenizer, messages, replies, trunk.context)]
        except InputError as error:  # of its own template or context; the served model may well take it
            raise RefusalError(400, f"the reward model cannot read this: {error}", param="messages") from None
        scores: list[float] = sequence_scores(self._model, sequences, tokenizer.pad_id).tolist()
        if not all(map(math.isfinite, scores)):
            raise RefusalError(503, "the reward model computes values that are not finite; serve another")
        return scores


async def best_pieces(reply: Reply, judge: Judge, messages: Sequence[Message], n: int) -> AsyncIterator[Piece]:
    """The ``n`` best of a reply's responses, each in one piece, the best first. The notes get all scores in order."""
    texts, last = [""] * reply.job.order.samples, dict[int, Piece]()
    chosen: list[list[Chosen]] = [[] for _ in texts]
    async for piece in reply.pieces():
        texts[piece.sample] += piece.text
        chosen[piece.sample] += piece.chosen
        last[piece.sample] = piece
    ends = [last[sample] for sample in range(len(texts))]
    scores = await judge.scores(messages, texts)
    order = sorted(range(len(texts)), key=lambda sample: -scores[sample])
    reply.notes |= {"best_of": len(texts), "scores": [scores[sample] for sample in order]}
    for place, sample in enumerate(order[:n]):
        yield Piece(place, texts[sample], ends[sample].tokens, ends[sample].finish_reason, chosen[sample])
