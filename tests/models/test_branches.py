"""Branches that attend in pieces see exactly what the mask shows them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from preceptor.models import transformer
from preceptor.models.branches import Forest
from preceptor.models.masks import branch_mask, branch_positions

# Of a tree: the length of what is shared, which may be 0, and of each branch. A row is some trees, and padding.
TREES = st.tuples(st.integers(0, 5), st.lists(st.integers(1, 4), min_size=0, max_size=3)).filter(lambda t: t[0] or t[1])
ROWS = st.lists(st.lists(TREES, min_size=0, max_size=3), min_size=1, max_size=3).filter(any)


def numbered(rows: list[list[tuple[int, list[int]]]], padding: int = 2) -> tuple[Tensor, Tensor]:
    """Segments and branches (B, T)."""
    segments, branches = [], []
    for trees in rows:
        segment, branch = [], []
        for i, (shared, rest) in enumerate(trees, start=1):
            if not shared:
                rest = rest[:1]  # what shares nothing is one sequence
            for number, length in enumerate([shared, *rest]):
                segment += [i] * length
                branch += [number] * length
        segments.append(segment)
        branches.append(branch)
    width = max(map(len, segments)) + padding
    filled = [torch.tensor([row + [0] * (width - len(row)) for row in one]) for one in (segments, branches)]
    return filled[0], filled[1]


@given(ROWS, st.sampled_from([(4, 4), (4, 2)]))
@settings(max_examples=80, deadline=None)
def test_pieces_give_what_one_call_under_the_mask_gives(
    rows: list[list[tuple[int, list[int]]]], heads: tuple[int, int]
) -> None:
    segments, branches = numbered(rows)
    real = segments != 0
    generator = torch.Generator().manual_seed(0)
    shape = (*segments.shape, sum(heads) + heads[1], 8)
    qkv = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = (
        torch.randn(*segments.shape, heads[0], 8, generator=generator, dtype=torch.float64) * real[..., None, None]
    )

    def views() -> list[Tensor]:
        return [x.transpose(1, 2) for x in qkv.split([heads[0], heads[1], heads[1]], dim=2)]

    def outcome(y: Tensor) -> tuple[Tensor, Tensor]:
        y = y.transpose(1, 2)
        (grad,) = torch.autograd.grad((y * weights).sum(), qkv)
        return y[real], grad

    whole = F.scaled_dot_product_attention(
        *views(), attn_mask=branch_mask(segments, branches), scale=0.3, enable_gqa=True
    )
    pieces = Forest.of(segments, branches).attend(*views(), scale=0.3)  # type: ignore[misc]
    assert not pieces.transpose(1, 2)[~real].any()
    for mine, theirs in zip(outcome(pieces), outcome(whole), strict=True):
        torch.testing.assert_close(mine, theirs)


@given(ROWS)
@settings(max_examples=50, deadline=None)
def test_a_branch_stands_where_its_sequence_alone_would(rows: list[list[tuple[int, list[int]]]]) -> None:
    segments, branches = numbered(rows)
    positions = branch_positions(segments, branches)
    mask = branch_mask(segments, branches)[:, 0]
    for b, t in (segments != 0).nonzero().tolist():
        assert positions[b, t] == mask[b, t].sum() - 1, "as many tokens before it as it sees"


@pytest.mark.parametrize("sliding_window", [None, 1024, 6])
def test_a_long_row_is_computed_in_pieces_and_says_the_same(
    tiny_model: Callable, monkeypatch: pytest.MonkeyPatch, sliding_window: int | None
) -> None:
    model = tiny_model()
    model.config = replace(model.config, sliding_window=sliding_window)
    segments, branches = numbered([[(7, [5, 3, 4])], [(0, [6]), (4, [2, 2])]])
    ids = torch.randint(7, 200, segments.shape, generator=torch.Generator().manual_seed(0))
    calls: list[int] = []
    attend = Forest.attend
    monkeypatch.setattr(Forest, "attend", lambda *args, **keys: calls.append(1) or attend(*args, **keys))
    whole = model.hidden(ids, segments, branches_BT=branches)
    assert not calls
    monkeypatch.setattr(transformer, "LONG", 1)
    pieces = model.hidden(ids, segments, branches_BT=branches)
    real = segments != 0
    torch.testing.assert_close(pieces[real], whole[real], rtol=1e-4, atol=1e-5)
    assert bool(calls) == (sliding_window != 6), "a window that cuts needs the mask"
