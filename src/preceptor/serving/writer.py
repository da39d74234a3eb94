"""One model and its engine: responses join and leave between its steps.

The noise of a response is keyed by the request's seed alone, so its text does not depend on who else is in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from preceptor.generation.engine import Engine, FinishReason
from preceptor.generation.likely import Likely
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.transformer import Transformer
from preceptor.text.stream import TextStream
from preceptor.text.tokenizer import Tokenizer

PREFILL_TOKENS = 512  # before a step: those who read wait for half a second with a model of 135M parameters
# Between two pieces of a stream, for each stream that there is: a piece costs more than a token does, and this way the
# event loop is told of no more than 500 a second.
TELL_SECONDS = 1 / 500


class Chosen(NamedTuple):
    """A token of a response whose order asks for likely tokens."""

    token: int
    start: int  # where its text begins in the response's, in characters
    likely: Likely


class Piece(NamedTuple):
    """What a step added to one of the samples of an order."""

    sample: int
    text: str
    tokens: int  # of the response so far
    finish_reason: FinishReason | None = None
    chosen: Sequence[Chosen] = ()  # the step's tokens, whether their text is out yet or not


class Order(NamedTuple):
    """What is to be written: responses to prompts of token ids.

    Of ``each`` samples a prompt, those of the first prompt come first.
    """

    prompts: Sequence[Sequence[int]]
    sampling: SamplingConfig
    each: int = 1
    stops: Sequence[str] = ()
    alternatives: int | None = None  # see Engine.submit

    @property
    def samples(self) -> int:
        """Responses in all."""
        return len(self.prompts) * self.each

    @property
    def eager(self) -> bool:
        """Whether every token is looked at by itself, so that what is counted does not depend on the time."""
        return bool(self.stops) or self.alternatives is not None


@dataclass
class _Response:
    number: int  # of its order
    order: Order
    sample: int
    text: TextStream
    read: int = 0  # tokens that the text has taken


class Writer:
    """Writes what is ordered, ``slots`` responses at a time. Orders have numbers, which their pieces bear."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, *, slots: int = 64) -> None:
        self.tokenizer, self.slots, self.context = tokenizer, slots, model.context
        self.vocab_size = min(tokenizer.vocab_size, model.config.vocab_size)
        self.engine = Engine(
            model,
            eos_id=tokenizer.eos_ids,
            pad_id=tokenizer.pad_id,
            max_slots=slots,
            prefill_tokens=PREFILL_TOKENS,
        )
        self._responses: dict[int, _Response] = {}
        self._eager: set[int] = set()  # tickets read after every step: of eager orders, or with nothing told yet
        self._due = 0.0  # when all are read next

    @property
    def busy(self) -> bool:
        """Whether a further step would do anything."""
        return self.engine.busy

    def begin(self, number: int, order: Order) -> None:
        """Take an order on."""
        tickets: list[int] = []
        for prompt in order.prompts:
            tickets += self.engine.submit(
                prompt, order.sampling, samples=order.each, key=("serve",), alternatives=order.alternatives
            )
        for sample, ticket in enumerate(tickets):
            self._responses[ticket] = _Response(number, order, sample, TextStream(self.tokenizer.decode, order.stops))
            self._eager.add(ticket)

    def end(self, number: int) -> None:
        """Let go of what is left of an order."""
        for ticket in [ticket for ticket, response in self._responses.items() if response.number == number]:
            self._forget(ticket)

    def _forget(self, ticket: int) -> None:
        self.engine.cancel(ticket)
        self._eager.discard(ticket)
        del self._responses[ticket]

    def step(self) -> list[tuple[int, Piece]]:
        """A token more for each response that has a slot; what there is to tell of it, with the orders' numbers."""
        finished = self.engine.step()
        now = perf_counter()
        all_due = now >= self._due
        if all_due:
            self._due = now + len(self._responses) * TELL_SECONDS
        told: list[tuple[int, Piece]] = []
        for ticket in sorted(self._responses if all_due else self._eager.union(finished)):
            response, done = self._responses[ticket], finished.get(ticket)
            new = done.ids[response.read :] if done else self.engine.so_far(ticket, response.read)[0]
            if not new:
                continue  # it waits for a slot
            chosen: Sequence[Chosen] = ()
            if response.order.alternatives is not None:  # it is read after every step, which adds one token
                likely = done.likely if done else self.engine.likely_so_far(ticket)
                chosen = (Chosen(new[0], response.text.decoded, likely[-1]),)
            response.read += len(new)
            text = response.text.push(new, last=done is not None)
            reason: FinishReason | None = "stop" if response.text.stopped else done.finish_reason if done else None
            if text or reason or chosen:
                told.append((response.number, Piece(response.sample, text, response.read, reason, chosen)))
            if reason:
                self._forget(ticket)
            elif text and not response.order.eager:
                self._eager.discard(ticket)
        return told
