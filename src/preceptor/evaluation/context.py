"""What the words before are worth: loss against position, against the length of the context, and on copies.

Losses are in nats a token. Shapes: B batch rows, T positions, N rows in all. Each row is read as one sequence.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from preceptor.keyed import torch_rng
from preceptor.models.lstm import LSTM
from preceptor.models.transformer import Transformer
from preceptor.statistics import mean_with_interval

Network = Transformer | LSTM
Floats = NDArray[np.float64]
BATCH = 32


@torch.no_grad()
def next_token_losses(model: Network, ids_NT: Tensor) -> Floats:
    """(N, T - 1): how badly position t predicts token t + 1, of a model that reads from left to right."""
    parts = []
    for ids_BT in ids_NT.split(BATCH):
        ids_BT = ids_BT.to(model.device)
        logits = model(ids_BT[:, :-1])
        parts.append(F.cross_entropy(logits.flatten(0, 1).float(), ids_BT[:, 1:].flatten(), reduction="none"))
    return torch.cat(parts).view(len(ids_NT), -1).cpu().double().numpy()


@torch.no_grad()
def blank_losses(model: Transformer, ids_NT: Tensor, blanks_N: Tensor, mask_id: int) -> Floats:
    """(N,): how badly a masked model fills in the one hidden token of each row, from both its sides."""
    parts = []
    for ids_BT, blanks_B in zip(ids_NT.split(BATCH), blanks_N.split(BATCH), strict=True):
        rows = torch.arange(len(ids_BT))
        targets = ids_BT[rows, blanks_B]
        hidden_ids = ids_BT.clone()
        hidden_ids[rows, blanks_B] = mask_id
        logits = model(hidden_ids.to(model.device))[rows, blanks_B]
        parts.append(F.cross_entropy(logits.float().cpu(), targets, reduction="none"))
    return torch.cat(parts).double().numpy()


def position_bins(length: int) -> list[tuple[int, int]]:
    """Numbers of tokens before the predicted one, in ranges [first, last] that double: 1, 2-3, 4-7, ..., length - 1."""
    edges = [1]
    while 2 * edges[-1] < length:
        edges.append(2 * edges[-1])
    return [(first, min(2 * first, length) - 1) for first in edges]


def loss_by_position(
    losses: dict[str, Floats], difference: tuple[str, str], seed: int, resamples: int
) -> list[dict[str, Any]]:
    """One row a range of positions: the mean loss of each model, and the first named minus the second.

    ``losses`` are (N, T - 1) on the same rows; the interval of the difference is a bootstrap over rows, paired.
    """
    one, other = (losses[name] for name in difference)
    rows: list[dict[str, Any]] = []
    for first, last in position_bins(one.shape[1] + 1):
        here = slice(first - 1, last)  # column t has t + 1 tokens before what it predicts
        gap = mean_with_interval((one[:, here] - other[:, here]).mean(1), seed, resamples)
        means = {name: float(values[:, here].mean()) for name, values in losses.items()}
        rows.append({"first": first, "last": last, "loss": means, "difference": gap})
    return rows


def loss_by_length(
    models: dict[str, Network], masked: Transformer, ids_NT: Tensor, mask_id: int, seed: int, resamples: int
) -> list[dict[str, Any]]:
    """The loss on one token a row, in the middle, when only so many tokens around it are shown.

    All models predict the same tokens. Those that read from left to right see ``length`` tokens before it; the masked
    one sees as many in all, half of them before and half behind. An interval is a bootstrap over rows.
    """
    middle = ids_NT.shape[1] // 2
    rows = []
    for length in [2**power for power in range(1, middle.bit_length()) if 2**power <= middle]:
        before = ids_NT[:, middle - length : middle + 1]
        around = ids_NT[:, middle - length // 2 : middle + length // 2 + 1]
        losses = {name: next_token_losses(model, before)[:, -1] for name, model in models.items()}
        losses["masked"] = blank_losses(masked, around, torch.full((len(around),), length // 2), mask_id)
        figures = {name: mean_with_interval(values, seed, resamples) for name, values in losses.items()}
        rows.append({"length": length, "loss": figures})
    return rows


def copy_rows(count: int, distance: int, alphabet: Sequence[int], start: int, seed: int, *key: str | int) -> Tensor:
    """(count, 1 + 2 * distance): a begin token, random tokens of the alphabet, and the same tokens once more."""
    drawn = torch.randint(len(alphabet), (count, distance), generator=torch_rng(seed, "copy", distance, *key))
    segment = torch.as_tensor(alphabet)[drawn]
    return torch.cat([torch.full((count, 1), start), segment, segment], dim=1)


def copy_losses(
    models: dict[str, Network],
    distances: Sequence[int],
    alphabet: Sequence[int],
    start: int,
    count: int,
    seed: int,
    resamples: int,
) -> list[dict[str, Any]]:
    """The loss on the second copy of a random segment, against how far back the first lies.

    The first token of the second copy is left out: nothing says that the copy begins there. Who cannot look
    back can do no better than ln(size of the alphabet).
    """
    rows = []
    for distance in distances:
        ids = copy_rows(count, distance, alphabet, start, seed, "test")
        # Column t predicts token t + 1; the second token of the second copy is token distance + 2.
        second = {name: next_token_losses(model, ids)[:, distance + 1 :].mean(1) for name, model in models.items()}
        figures = {name: mean_with_interval(values, seed, resamples) for name, values in second.items()}
        rows.append({"distance": distance, "loss": figures})
    return rows
