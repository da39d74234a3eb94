"""Rotary positions: Hugging Face's pairing of channels, turned as complex numbers."""

import torch
from torch import Tensor

from preceptor.models.rotary import pair_channels, rotary_tables, rotate

CHANNELS = 8
COS, SIN = (table.double() for table in rotary_tables(CHANNELS, 20, 100.0))
ORDER = pair_channels(1, CHANNELS)


def turned(x: Tensor, position: int) -> Tensor:
    return rotate(x, torch.complex(COS[position], SIN[position]))


def by_hand(x: Tensor, position: int) -> Tensor:
    """As transformers does it: channel c with channel c + C / 2."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = COS[position], SIN[position]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def test_pairs_turn_as_transformers_turns_halves() -> None:
    x = torch.randn(2, 3, 2, CHANNELS, dtype=torch.float64)
    for position in (0, 1, 19):
        torch.testing.assert_close(turned(x[..., ORDER], position), by_hand(x, position)[..., ORDER])


def test_every_head_is_paired_by_itself() -> None:
    assert pair_channels(1, 6).tolist() == [0, 3, 1, 4, 2, 5]
    assert pair_channels(2, 4).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_angles_are_position_times_the_frequency() -> None:
    angles = torch.tensor([[p * 100.0 ** (-2 * c / CHANNELS) for c in range(CHANNELS // 2)] for p in range(20)])
    torch.testing.assert_close(COS.float(), angles.cos(), atol=1e-5, rtol=0)
    torch.testing.assert_close(SIN.float(), angles.sin(), atol=1e-5, rtol=0)


def test_lengths_stay_and_products_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, 1, CHANNELS, dtype=torch.float64)
    torch.testing.assert_close(turned(q, 7).norm(), q.norm())
    products = torch.stack([(turned(q, at) * turned(k, at + 3)).sum() for at in (0, 5, 16)])
    torch.testing.assert_close(products, products[:1].expand(3), atol=1e-6, rtol=0)


def test_the_gradient_is_right() -> None:
    x = torch.randn(2, 3, 2, CHANNELS, dtype=torch.float64, requires_grad=True)
    turns = torch.complex(COS[:3], SIN[:3])[:, None]
    assert torch.autograd.gradcheck(lambda y: rotate(y, turns), x)
