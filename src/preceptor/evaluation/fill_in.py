"""One word of a sentence is blanked, and every model says what belongs there."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from preceptor.evaluation.context import Network
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer

LONGEST = 20  # tokens of the sentence: an attention map of more is too small to read
SHORTEST = 8
TOP = 5


@dataclass(frozen=True)
class Blank:
    """A sentence and the place in it that is hidden."""

    ids: list[int]
    at: int


def choose_blank(rows_NT: Tensor, tokenizer: Tokenizer) -> Blank:
    """The first sentence of a sensible length that holds, between other words, a word of a single token.

    The word is the longest of those, the first on a tie: long ones say more. If no sentence is like that, the
    beginning of the first row with its middle token.
    """
    for row in rows_NT.tolist():
        for ids in _sentences(row, tokenizer):
            words = [at for at in range(2, len(ids) - 2) if _is_word(ids, at, tokenizer)]
            if SHORTEST <= len(ids) <= LONGEST and words:
                return Blank(ids, max(words, key=lambda at: (len(tokenizer.decode([ids[at]])), -at)))
    ids = rows_NT[0, :SHORTEST].tolist()
    return Blank(ids, len(ids) // 2)


def _sentences(row: list[int], tokenizer: Tokenizer) -> list[list[int]]:
    """The whole sentences of a row: from behind one end (a special token, or a full stop) up to the next stop."""
    found: list[list[int]] = []
    current: list[int] | None = None  # unknown until a sentence begins
    for token in row:
        if token in tokenizer.special_ids:
            current = []
            continue
        if current is not None:
            current.append(token)
        if tokenizer.decode([token]).endswith((".", "\n")):
            if current and "\n" not in tokenizer.decode(current):
                found.append(current)
            current = []
    return found


def _is_word(ids: list[int], at: int, tokenizer: Tokenizer) -> bool:
    """Whether a token is a word by itself: a space before it, letters, and another word or a sign behind it."""
    word, following = tokenizer.decode([ids[at]]), tokenizer.decode([ids[at + 1]])
    return word.startswith(" ") and len(word) > 4 and word[1:].isalpha() and not following[:1].isalpha()


@torch.no_grad()
def fill_in(readers: dict[str, Network], masked: Transformer, blank: Blank, tokenizer: Tokenizer) -> dict[str, Any]:
    """The sentence and, for each model, its ``TOP`` likeliest tokens with probabilities, and that of the true one.

    Models that read from left to right know what stands before the blank; the masked one knows both sides.
    """
    assert tokenizer.mask_id is not None
    start = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    before = [*start, *blank.ids[: blank.at]]
    both = [*before, tokenizer.mask_id, *blank.ids[blank.at + 1 :]]
    asked = {name: (model, before, len(before) - 1) for name, model in readers.items() if before}
    asked["masked"] = (masked, both, len(before))
    guesses: dict[str, Any] = {}
    for name, (model, ids, at) in asked.items():
        chances = model(torch.tensor([ids], device=model.device))[0, at].float().softmax(-1)
        values, tokens = chances.topk(min(TOP, len(chances)))
        words = [tokenizer.decode([int(token)]) for token in tokens]
        guesses[name] = {
            "words": words,
            "probabilities": [round(float(value), 6) for value in values],
            "true_word": float(chances[blank.ids[blank.at]]),
        }
    return {
        "before": tokenizer.decode(blank.ids[: blank.at]),
        "word": tokenizer.decode([blank.ids[blank.at]]),
        "after": tokenizer.decode(blank.ids[blank.at + 1 :]),
        "guesses": guesses,
    }
