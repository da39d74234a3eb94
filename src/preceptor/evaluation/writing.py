"""Texts that a model writes behind given tokens, each up to the first of the texts that end it."""

from collections.abc import Sequence
from typing import NamedTuple

from preceptor.generation.engine import Engine
from preceptor.generation.sampling import SamplingConfig
from preceptor.keyed import Key
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

SLOTS = 64


class Begun(NamedTuple):
    """What stands before a text, how it is sampled, what ends it, and the name of its noise."""

    ids: list[int]
    sampling: SamplingConfig
    stops: Sequence[str] = ()
    key: tuple[Key, ...] = ()


def write_texts(model: Transformer, tokenizer: Tokenizer, begun: Sequence[Begun], slots: int = SLOTS) -> list[str]:
    """A text for each; one that holds a stop leaves its slot at once and ends before it.

    What is too long for the context loses its beginning.
    """
    engine = Engine(model, eos_id=tokenizer.eos_ids, pad_id=tokenizer.pad_id, max_slots=slots)
    texts, living = [""] * len(begun), {}
    for index, one in enumerate(begun):
        room = one.sampling.prompt_room(engine.capacity)
        (ticket,) = engine.submit(one.ids[-room:], one.sampling, key=one.key)
        living[ticket] = index
    while engine.busy:
        for ticket, done in engine.step().items():
            index = living.pop(ticket)
            texts[index] = _cut(tokenizer.decode(done.ids), begun[index].stops)
        for ticket, index in list(living.items()):
            ids, _ = engine.so_far(ticket)
            stops = begun[index].stops
            longest = max(map(len, stops), default=0)  # in characters: at least as many as tokens
            if ids and longest and any(stop in tokenizer.decode(ids[-longest - 4 :]) for stop in stops):
                texts[index] = _cut(tokenizer.decode(ids), stops)
                engine.cancel(ticket)
                del living[ticket]
    return texts


def _cut(text: str, stops: Sequence[str]) -> str:
    for stop in stops:
        text = text.split(stop)[0]
    return text
