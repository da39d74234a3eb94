"""Scores of whole sequences, read at their last token, with or without gradients."""

from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from preceptor.models.heads import ScalarModel
from preceptor.text.conversation import Rendered
from preceptor.text.packing import pack_conversations
from preceptor.training.batches import Padding, group_by_length

TOKEN_BUDGET = 4096  # padded tokens of one pass without gradients


def packed_scores(
    model: ScalarModel, groups: Sequence[Sequence[Sequence[int]]], pad_id: int, padding: Padding | None = None
) -> Tensor:
    """The score (N,) of each of N sequences at its last token, differentiable, in the order of the groups.

    The sequences of a group begin alike, as the responses to one prompt do: what they share is computed
    once, and each goes on from it as a branch of its own. Several groups share a row. No score depends on
    its neighbours or on padding, whose share goes into ``padding``. On the model's device.
    """
    trees = [_Tree.of(group) for group in groups]
    whole = [Rendered(tree.ids, [False] * len(tree.ids), False) for tree in trees]
    packed = pack_conversations(whole, max(len(tree.ids) for tree in trees), pad_id)
    branches_BT = np.zeros_like(packed.ids)
    ends_BT = np.zeros(packed.ids.shape, dtype=np.bool_)
    order: list[int] = []  # which score each place in a row holds, row by row
    first = np.cumsum([0, *map(len, groups)])
    for row, members in enumerate(packed.rows):
        start = 0
        for i in members:
            stop = start + len(trees[i].ids)
            branches_BT[row, start:stop] = trees[i].branches
            ends_BT[row, [start + end for end in trees[i].ends]] = True
            order.extend(range(first[i], first[i + 1]))
            start = stop
    device = model.trunk.device
    segments = torch.from_numpy(packed.segments).long()
    if padding is not None:
        padding.count(segments)
    alone = all(len(group) == 1 for group in groups)
    scores: Tensor = model(
        torch.from_numpy(packed.ids).long().to(device),
        segments.to(device),
        branches_BT=None if alone else torch.from_numpy(branches_BT).long().to(device),
        only_BT=torch.from_numpy(ends_BT).to(device),
    )
    return scores[torch.from_numpy(np.argsort(order)).to(device)]


def packed_length(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens :func:`packed_scores` computes for a group."""
    return len(_Tree.of(sequences).ids)


class _Tree(NamedTuple):
    """Sequences that begin alike, one after the other, the beginning once."""

    ids: list[int]
    branches: list[int]  # 0 where they agree, then k for the rest of the k-th
    ends: list[int]  # where each one's last token lies

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> "_Tree":
        # Each keeps a token of its own, so that each has an end of its own.
        alike = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*sequences, strict=False))
        shared = 0 if len(sequences) == 1 else min(sum(1 for _ in alike), min(map(len, sequences)) - 1)
        tree = cls(list(sequences[0][:shared]), [0] * shared, [])
        for branch, ids in enumerate(sequences, start=1):
            tree.ids.extend(ids[shared:])
            tree.branches.extend([branch] * (len(ids) - shared))
            tree.ends.append(len(tree.ids) - 1)
        return tree


def with_end(sequence: Sequence[int], end_id: int, context: int) -> list[int]:
    """A prompt with a response that ran into its limit, as a reward model reads it: with an end after all.

    Every response in rankings has one, so a missing end is nothing that a reward model has learnt to judge: what it
    says of one is noise (SmolLM2 fitted to public rankings: 1.6 standard deviations *more*), and a policy is quick to
    find it. Where the context is full the end takes the place of the last token.
    """
    return [*sequence[: context - 1], end_id]


@torch.no_grad()
def grouped_scores(model: ScalarModel, groups: Sequence[Sequence[Sequence[int]]], pad_id: int) -> Tensor:
    """:func:`packed_scores` of any number of groups, in batches of similar length, without gradients, on the CPU."""
    first = [0, *accumulate(map(len, groups))]
    scores = torch.zeros(first[-1])
    for taken in group_by_length(range(len(groups)), [packed_length(group) for group in groups], TOKEN_BUDGET):
        places = [place for i in taken for place in range(first[i], first[i + 1])]
        scores[places] = packed_scores(model, [groups[i] for i in taken], pad_id).cpu()
    return scores


def sequence_scores(model: ScalarModel, sequences: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """The same of sequences that have nothing in common."""
    return grouped_scores(model, [[ids] for ids in sequences], pad_id)
