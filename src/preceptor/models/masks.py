"""Where tokens stand in their sequences, and which others each may look at.

Shapes: B batch rows, T positions.
"""

import torch
from torch import Tensor


def window_mask(positions: Tensor, window: int, mask: Tensor | None, causal: bool) -> Tensor:
    """``mask`` (None: plain causal or full attention) without what lies ``window`` or more positions away.

    From positions (B or 1, T) to (B or 1, 1, T, T) bool, True where the query (third axis) may look at the key.
    """
    distances = positions[:, None, :, None] - positions[:, None, None, :]
    near = (distances if causal else distances.abs()) < window
    if mask is not None:
        return near & mask
    # Without a mask a row is one sequence and perhaps padding behind it, whose own positions do not matter.
    return near & torch.ones_like(near[0, 0]).tril() if causal else near


def segment_positions(segments_BT: Tensor) -> Tensor:
    """How far each token is from the start of its segment, (B, T)."""
    T = segments_BT.shape[1]
    steps = torch.arange(T, device=segments_BT.device)
    starts = torch.ones_like(segments_BT, dtype=torch.bool)
    starts[:, 1:] = segments_BT[:, 1:] != segments_BT[:, :-1]
    return steps - torch.where(starts, steps, 0).cummax(dim=1).values


def segment_mask(segments_BT: Tensor, causal: bool) -> Tensor | None:
    """(B, 1, T, T) bool, True where the query (third axis) may look at the key (fourth).

    None when one causal segment starts every row: real tokens then never see the padding
    behind them, and plain causal attention is several times faster. A padding token sees
    only padding, itself at least, so that no softmax is empty.
    """
    if causal and bool(((segments_BT == 1) | (segments_BT == 0)).all()):
        real = segments_BT != 0
        if bool((real[:, 1:] <= real[:, :-1]).all()):
            return None
    mask = segments_BT[:, :, None] == segments_BT[:, None, :]
    if causal:
        T = segments_BT.shape[1]
        mask = mask & torch.ones(T, T, dtype=torch.bool, device=mask.device).tril()
    return mask[:, None]


def branch_positions(segments_BT: Tensor, branches_BT: Tensor) -> Tensor:
    """Positions (B, T) where every branch of a segment goes on from where its shared part, branch 0, ends."""
    steps_BT = torch.arange(segments_BT.shape[1], device=segments_BT.device).expand_as(segments_BT)
    in_segment = segment_positions(segments_BT)
    in_part = segment_positions(segments_BT * (branches_BT.max() + 1) + branches_BT)
    forks = (branches_BT == 1) & (in_part == 0)
    shared = in_segment.gather(1, torch.where(forks, steps_BT, 0).cummax(dim=1).values)
    return torch.where(branches_BT == 0, in_segment, shared + in_part) * (segments_BT != 0)


def branch_mask(segments_BT: Tensor, branches_BT: Tensor) -> Tensor:
    """(B, 1, T, T) bool: a token sees the shared part of its segment and its own branch, up to itself."""
    steps_T = torch.arange(segments_BT.shape[1], device=segments_BT.device)
    own = branches_BT[:, :, None] == branches_BT[:, None, :]
    mask = (segments_BT[:, :, None] == segments_BT[:, None, :]) & (own | (branches_BT == 0)[:, None, :])
    return (mask & (steps_T[:, None] >= steps_T))[:, None]
