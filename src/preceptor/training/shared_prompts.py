"""Episodes that answer the same prompt: it is computed once, and each goes on from it as a branch.

Shapes: B episodes, T positions, G prompts, W positions of a prompt with all of its responses.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class Inputs(NamedTuple):
    """What a decoder is given, and the N states in which a response token was drawn, in the order of the episodes."""

    ids: Tensor  # (B, T - 1), or (G, W)
    segments: Tensor
    only: Tensor  # bool, True at the N states
    branches: Tensor | None  # None: no two of the episodes share a prompt


def runs(prompts_B: Tensor, rows: Sequence[int]) -> list[list[int]]:
    """The rows in their order, those that follow each other and answer the same prompt together."""
    numbers = prompts_B.cpu().tolist()
    return [list(group) for _, group in groupby(rows, key=lambda row: numbers[row])]


def inputs(ids_BT: Tensor, segments_BT: Tensor, mask: Tensor, prompts_B: Tensor | None = None) -> Inputs:
    """Episodes as a decoder reads them; neighbours with one number in ``prompts_B`` begin with the same prompt.

    Each is a prompt and one response that ends the episode. The last token foretells nothing and is left out. What is
    shared ends before the last token of the prompt: each branch begins with that, so that each has a state of its own
    in which its first token was drawn.
    """
    together = [] if prompts_B is None else runs(prompts_B, range(len(ids_BT)))
    if prompts_B is None or len(together) == len(ids_BT):
        return Inputs(ids_BT[:, :-1], segments_BT[:, :-1], mask, None)
    ids, branches = [], []
    for group in together:
        responses = [ids_BT[row, :-1][mask[row]] for row in group]
        shared = ids_BT[group[0], : int(mask[group[0]].int().argmax())]
        ids.append(torch.cat([shared, *responses]))
        numbers = torch.arange(len(group) + 1, device=ids_BT.device)
        sizes = torch.tensor([len(shared), *map(len, responses)], device=ids_BT.device)
        branches.append(numbers.repeat_interleave(sizes))
    segments = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
    numbered = pad_sequence(branches, batch_first=True)
    # What pads the ids is read by nobody: its segment is 0.
    return Inputs(pad_sequence(ids, batch_first=True), segments, numbered > 0, numbered)
