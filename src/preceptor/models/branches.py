"""Attention among sequences that share their beginning, as the responses to one prompt do.

The beginning is computed once and each sequence goes on from it as a branch. Under one mask most of such a row's
scores are computed for nothing: no branch sees another. In pieces, the shared part and then each branch over it and
itself, they are not computed at all.

Shapes: B rows, T positions, H query heads, K key/value heads, C channels of a head.
"""

from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

LONG = 512  # positions of a row from which pieces are quicker on a CPU; below, one call under a mask is


@dataclass(frozen=True)
class Tree:
    """A segment of a row: what its sequences share, and then the rest of each."""

    start: int  # the first position of the shared part, which may be empty
    forks: list[int]  # where the branches start, and where the last one ends

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, masks: dict[tuple[int, int], Tensor], scale: float | None
    ) -> Tensor:
        """(1, H, length, C) from queries (1, H, T, C), keys and values (1, K, T, C) of the row."""
        shared = slice(self.start, self.forks[0])
        count, parts = shared.stop - shared.start, []
        if count:
            parts.append(_attend(q[:, :, shared], k[:, :, shared], v[:, :, shared], None, scale))
        for start, stop in pairwise(self.forks):
            own, mask = slice(start, stop), None
            keys, values = k[:, :, own], v[:, :, own]
            if count:
                keys = torch.cat([k[:, :, shared], keys], dim=2)
                values = torch.cat([v[:, :, shared], values], dim=2)
                if (size := (stop - start, count)) not in masks:
                    masks[size] = torch.ones(size[0], sum(size), dtype=torch.bool).tril(count)
                mask = masks[size]
            parts.append(_attend(q[:, :, own], keys, values, mask, scale))
        return torch.cat(parts, dim=2)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    """Causal where there is no mask."""
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
    )


@dataclass(frozen=True)
class Forest:
    """The trees of a batch, row by row; it stands where a mask would."""

    rows: list[list[Tree]]
    masks: dict[tuple[int, int], Tensor]  # of branches, by their length and that of what they share

    @classmethod
    def of(cls, segments_BT: Tensor, branches_BT: Tensor) -> "Forest":
        """Read off the numbers that :meth:`Transformer.hidden` takes."""
        numbered = zip(segments_BT.tolist(), branches_BT.tolist(), strict=True)
        return cls([_trees(list(zip(segments, branches, strict=True))) for segments, branches in numbered], {})

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> Tensor:
        """(B, H, T, C) as attention under the mask of these branches gives it, and 0 at padding."""
        rows = []
        for b, trees in enumerate(self.rows):
            one, parts, done = slice(b, b + 1), [], 0
            for tree in trees:
                parts.append(q.new_zeros(1, q.shape[1], tree.start - done, q.shape[3]))
                parts.append(tree.attend(q[one], k[one], v[one], self.masks, scale))
                done = tree.forks[-1]
            parts.append(q.new_zeros(1, q.shape[1], q.shape[2] - done, q.shape[3]))
            rows.append(torch.cat(parts, dim=2))
        return torch.cat(rows)


def _trees(tokens: list[tuple[int, int]]) -> list[Tree]:
    """Those of a row, whose tokens have a segment and a branch; segment 0 is padding."""
    trees: dict[int, Tree] = {}
    start = 0
    for (segment, branch), run in groupby(tokens):
        stop = start + len(list(run))
        if segment:
            tree = trees.setdefault(segment, Tree(start, []))
            if branch and not tree.forks:  # nothing is shared
                tree.forks.append(start)
            tree.forks.append(stop)
        start = stop
    return list(trees.values())
