"""Scores of whole sequences, read at their last token, with or without gradients."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from preceptor.models.heads import ScalarModel
from preceptor.text.conversation import Rendered
from preceptor.text.packing import pack_conversations
from preceptor.training.batches import group_by_length

TOKEN_BUDGET = 4096  # padded tokens of one pass without gradients


def packed_scores(model: ScalarModel, sequences: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """The score (N,) of each of N sequences at its last token, differentiable.

    Several sequences share a row and none sees another, so no score depends on its neighbours
    or on padding.
    """
    rendered = [Rendered(list(ids), [False] * len(ids), False) for ids in sequences]
    packed = pack_conversations(rendered, max(len(ids) for ids in sequences), pad_id)
    rows, columns = np.zeros(len(sequences), dtype=np.int64), np.zeros(len(sequences), dtype=np.int64)
    for row, members in enumerate(packed.rows):
        ends = np.cumsum([len(sequences[i]) for i in members]) - 1
        rows[members], columns[members] = row, ends
    ends_BT = torch.zeros(packed.ids.shape, dtype=torch.bool)
    ends_BT[rows, columns] = True
    scores: Tensor = model(
        torch.from_numpy(packed.ids).long(), torch.from_numpy(packed.segments).long(), only_BT=ends_BT
    )
    return scores[torch.from_numpy(np.argsort(np.lexsort((columns, rows))))]  # from the order of places


@torch.no_grad()
def sequence_scores(model: ScalarModel, sequences: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """:func:`packed_scores` for any number of sequences, in batches of similar length, without gradients."""
    scores = torch.zeros(len(sequences))
    for group in group_by_length(range(len(sequences)), [len(ids) for ids in sequences], TOKEN_BUDGET):
        scores[group] = packed_scores(model, [sequences[i] for i in group], pad_id)
    return scores
