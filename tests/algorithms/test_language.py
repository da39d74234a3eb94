"""The fused loss is torch's cross-entropy, gradients included, whatever the chunks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from preceptor.algorithms import language
from preceptor.algorithms.language import linear_cross_entropy


def inputs(seed: int, n: int, d: int, v: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, d, generator=generator, requires_grad=True)
    weight = torch.randn(v, d, generator=generator, requires_grad=True)
    return hidden, weight, torch.randint(0, v, (n,), generator=generator)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    n=st.sampled_from([0, 1, 2, 63, 64, 65, 130]),
    d=st.integers(1, 9),
    v=st.integers(1, 50),
    factor=st.sampled_from([1.0, -2.5, 1 / 7]),
)
def test_loss_and_gradients_equal_cross_entropy(seed: int, n: int, d: int, v: int, factor: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "_CHUNK_BYTES", 1)  # chunks of 64 rows, the fewest
        hidden, weight, targets = inputs(seed, n, d, v)
        mine = linear_cross_entropy(hidden, weight, targets)
        grads = torch.autograd.grad(mine * factor, (hidden, weight))
    theirs = F.cross_entropy(hidden @ weight.t(), targets, reduction="sum")
    expected = torch.autograd.grad(theirs * factor, (hidden, weight))
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-4)
    for grad, right in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, right, rtol=1e-4, atol=1e-4)


def test_only_what_needs_a_gradient_gets_one() -> None:
    hidden, weight, targets = inputs(0, 5, 3, 7)
    linear_cross_entropy(hidden.detach(), weight, targets).backward()
    assert weight.grad is not None
    assert hidden.grad is None


def test_without_gradients_none_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    # Evaluation passes would otherwise cost three matrix products instead of one.
    products = []
    monkeypatch.setattr(torch, "mm", lambda *args, **kwargs: products.append(args))
    hidden, weight, targets = inputs(0, 5, 3, 7)
    with torch.no_grad():
        loss = linear_cross_entropy(hidden, weight, targets)
    assert not products
    torch.testing.assert_close(loss, F.cross_entropy(hidden @ weight.t(), targets, reduction="sum").detach())


def test_large_logits_stay_finite() -> None:
    hidden = torch.full((2, 1), 1e4, requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = linear_cross_entropy(hidden, weight, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()
