"""How likely a model finds given continuations of a context, in nats.

The context is computed once: its continuations follow it in one row as branches that see the context and themselves,
at the positions they would have alone. Shapes: B contexts, T positions of a row, N scored tokens.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from preceptor.algorithms.language import chunks
from preceptor.algorithms.policy import logprobs_of
from preceptor.errors import InputError
from preceptor.models.transformer import Transformer
from preceptor.text.packing import pad_batch
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.batches import group_by_length
from preceptor.training.scoring import TOKEN_BUDGET


class Choices(NamedTuple):
    """A context and what may follow it, as token ids; none of them empty."""

    context: list[int]
    continuations: list[list[int]]


class Scored(NamedTuple):
    """A continuation: the sum of log p(token | all before it), in nats, and whether each token is the likeliest."""

    logprob: float
    greedy: bool


def encode_choices(tokenizer: Tokenizer, context: str, continuations: Sequence[str]) -> Choices:
    """Split each whole text where the ids of the context alone end, as lm-evaluation-harness does.

    Like there, spaces at the end of the context belong to the continuations, and what the tokenizer of transformers
    puts before a text (a begin token for Llama 2 or Gemma, nothing for GPT-2 or ours) stands before the context.
    """
    kept = context.rstrip()
    spaces = context[len(kept) :]
    start, *whole = tokenizer.encode_batch([kept, *(kept + spaces + text for text in continuations)])
    choices = Choices([*tokenizer.before_text, *start], [ids[len(start) :] for ids in whole])
    if not choices.context or not all(choices.continuations):
        raise InputError(f"an empty context or answer cannot be scored; look at what follows {context[-60:]!r}")
    return choices


class _Row(NamedTuple):
    """One context with its branches, and where each scored token is foretold."""

    ids: list[int]
    branches: list[int]  # 0 in the context, then 1, 2, ... for the continuations
    at: list[int]  # the position whose state foretells a scored token
    targets: list[int]  # that token
    owners: list[int]  # the continuation it belongs to

    @classmethod
    def of(cls, choices: Choices, context_length: int) -> "_Row":
        """The row of an item. Raises InputError if its longest continuation does not fit the context."""
        longest = max(len(ids) for ids in choices.continuations)
        room = context_length - (longest - 1)  # the last token of a continuation is foretold and never read
        if room < 1:
            raise InputError(f"an answer of {longest} tokens does not fit the model's context of {context_length}")
        row = cls(choices.context[-room:], [], [], [], [])
        start = len(row.ids)
        row.branches.extend([0] * start)
        branch = 0
        for owner, continuation in enumerate(choices.continuations):
            read = continuation[:-1]
            branch += bool(read)
            here = len(row.ids)
            row.at.extend([start - 1, *range(here, here + len(read))])
            row.targets.extend(continuation)
            row.owners.extend([owner] * len(continuation))
            row.ids.extend(read)
            row.branches.extend([branch] * len(read))
        return row


def is_cut(model: Transformer, choices: Choices) -> bool:
    """Whether the beginning of the context is dropped, because the longest continuation would not fit behind it."""
    return len(choices.context) + max(len(ids) for ids in choices.continuations) - 1 > model.context


def log_likelihoods(model: Transformer, items: Sequence[Choices]) -> list[list[float]]:
    """For each item the log-likelihood of each continuation, in nats; see :func:`score_choices`."""
    return [[one.logprob for one in found] for found in score_choices(model, items)]


@torch.inference_mode()
def score_choices(model: Transformer, items: Sequence[Choices]) -> list[list[Scored]]:
    """Each continuation of each item.

    A context too long for the model loses its beginning (:func:`is_cut`). Raises InputError for a continuation
    that alone does not fit, and for a model that attends in both directions.
    """
    if not model.config.causal:
        raise InputError("the model attends in both directions, so it gives no text a likelihood; use a causal one")
    rows = [_Row.of(item, model.context) for item in items]
    sums = [torch.zeros(len(item.continuations), dtype=torch.float64) for item in items]
    missed = [torch.zeros(len(item.continuations), dtype=torch.int64) for item in items]
    for members, ids_BT, segments_BT in _batches(rows):
        branches_BT = torch.zeros_like(ids_BT)
        for b, i in enumerate(members):
            branches_BT[b, : len(rows[i].ids)] = torch.tensor(rows[i].branches)
        device = model.device
        hidden_BTD = model.hidden(ids_BT.to(device), segments_BT.to(device), branches_BT=branches_BT.to(device))
        for b, i in enumerate(members):
            targets_N, owners_N = torch.tensor(rows[i].targets, device=device), torch.tensor(rows[i].owners)
            logprobs_N, hits_N = _of_targets(model, hidden_BTD[b, rows[i].at], targets_N)
            sums[i].index_add_(0, owners_N, logprobs_N.double().cpu())
            missed[i].index_add_(0, owners_N, (~hits_N).long().cpu())
    return [
        [Scored(value, not misses) for value, misses in zip(total.tolist(), lost.tolist(), strict=True)]
        for total, lost in zip(sums, missed, strict=True)
    ]


def _of_targets(model: Transformer, hidden_ND: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """log p of each target (N,), and whether it is the likeliest token (N,); a part of the logits at a time."""
    logprobs, hits = [], []
    for part in chunks(len(targets_N), model.config.vocab_size):
        logits_nV = model.unembed(hidden_ND[part])
        logprobs.append(logprobs_of(logits_nV, targets_N[part]))
        hits.append(logits_nV.argmax(dim=-1) == targets_N[part])
    return torch.cat(logprobs), torch.cat(hits)


def _batches(rows: Sequence[_Row]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Indices, ids (B, T) and segments (B, T) of every batch; padding stands on the right and is never read."""
    for members in group_by_length(range(len(rows)), [len(row.ids) for row in rows], TOKEN_BUDGET):
        yield members, *pad_batch([rows[i].ids for i in members], 0)
