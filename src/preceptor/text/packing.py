"""Token sequences into rectangular batches, with as little padding as can be had.

Every row comes with its *segments*: 1, 2, ... for the sequences in it and 0 for padding. Attention stays inside
a segment and positions restart in each (see `models`), so a packed row gives the same loss as its parts one by one.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from preceptor.errors import InputError
from preceptor.text.conversation import Rendered
from preceptor.text.tokenizer import BEGIN_ID, PAD_ID

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Packed:
    """Conversations in rows. ``rows[r][k]`` is the index of the conversation that is segment k + 1 of row r."""

    ids: Ints  # (N, T)
    segments: Ints  # (N, T)
    mask: NDArray[np.bool_]  # (N, T) tokens to learn
    rows: list[list[int]]

    @property
    def padding(self) -> float:
        """The share of positions that are padding."""
        return padding_share(self.segments)


def padding_share(segments: Ints) -> float:
    """The share of positions, 0 to 1, that hold no token."""
    return float((segments == 0).mean()) if segments.size else 0.0


def pack_documents(
    documents: Sequence[Sequence[int]], length: int, *, bos_id: int | None = BEGIN_ID, pad_id: int = PAD_ID
) -> tuple[Ints, Ints]:
    """Write the documents one after the other into rows of ``length`` tokens: ids (N, T) and segments (N, T).

    Each document opens with ``bos_id`` (put before it if it is not there; None: the vocabulary has no such token);
    empty ones are skipped. Every row is full but the last: a document that reaches the end of its row goes on in
    the next as a new segment, without a second begin and without sight of its first part.
    """
    if length < 1:
        raise InputError(f"length {length} leaves no place for a token; use at least 1")
    parts = []
    for document in documents:
        if len(document):
            part = np.asarray(document, dtype=np.int32)
            opens = bos_id is None or part[0] == bos_id
            parts.append(part if opens else np.concatenate([np.array([bos_id], dtype=np.int32), part]))
    sizes = np.array([part.size for part in parts], dtype=np.int64)
    total = int(sizes.sum())
    ids = np.full(-(-total // length) * length, pad_id, dtype=np.int32)
    owner = np.zeros(ids.size, dtype=np.int64)  # which document a position belongs to, from 1; 0 is padding
    if parts:
        ids[:total] = np.concatenate(parts)
        owner[:total] = np.repeat(np.arange(1, len(parts) + 1), sizes)
    owner_NT = owner.reshape(-1, length)
    segments_NT = np.where(owner_NT == 0, 0, owner_NT - owner_NT[:, :1] + 1)
    return ids.reshape(-1, length), segments_NT.astype(np.int32)


def pack_conversations(rendered: Sequence[Rendered], length: int, pad_id: int) -> Packed:
    """Put whole conversations into rows of ``length`` tokens, never splitting one.

    Best-fit decreasing: the longest first, each into the fullest row that still has room. At worst that
    takes about 11/9 of the fewest possible rows. It is deterministic: equal lengths keep their order.
    """
    sizes = [len(conversation.ids) for conversation in rendered]
    rows = _best_fit(sizes, length)
    ids_NT = np.full((len(rows), length), pad_id, dtype=np.int32)
    segments_NT = np.zeros((len(rows), length), dtype=np.int32)
    mask_NT = np.zeros((len(rows), length), dtype=np.bool_)
    for r, row in enumerate(rows):
        start = 0
        for segment, index in enumerate(row, start=1):
            here = slice(start, start + sizes[index])
            ids_NT[r, here] = rendered[index].ids
            mask_NT[r, here] = rendered[index].mask
            segments_NT[r, here] = segment
            start += sizes[index]
    return Packed(ids_NT, segments_NT, mask_NT, rows)


def _best_fit(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Which sizes go into which row. ``rooms`` keeps the free lengths sorted, so a row is found in O(log rows)."""
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (free length, row), sorted
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        size = sizes[index]
        if size > length:
            raise InputError(
                f"conversation {index} has {size} tokens and a row holds {length}; render it with max_length={length}"
            )
        at = bisect_left(rooms, (size, -1))
        if at == len(rooms):
            free, row = length, len(rows)
            rows.append([])
        else:
            free, row = rooms.pop(at)
        rows[row].append(index)
        if free > size:
            insort(rooms, (free - size, row))
    return rows


def pad_batch(
    sequences: Sequence[Sequence[int]], pad_id: int, side: Literal["left", "right"] = "right"
) -> tuple[Tensor, Tensor]:
    """One sequence a row, padded on one side to the longest: ids (B, T) and segments (B, T) of 1 and 0, both int64."""
    if side not in ("left", "right"):
        raise ValueError(f"side must be 'left' or 'right', not {side!r}")
    width = max(map(len, sequences), default=0)
    ids_BT = torch.full((len(sequences), width), pad_id, dtype=torch.int64)
    segments_BT = torch.zeros_like(ids_BT)
    for row, sequence in enumerate(sequences):
        here = slice(0, len(sequence)) if side == "right" else slice(width - len(sequence), width)
        ids_BT[row, here] = torch.as_tensor(sequence, dtype=torch.int64)
        segments_BT[row, here] = 1
    return ids_BT, segments_BT
