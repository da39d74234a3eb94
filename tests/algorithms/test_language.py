"""The fused losses are torch's own, gradients included, whatever the chunks."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from preceptor.algorithms import language
from preceptor.algorithms.language import linear_cross_entropy, linear_logprobs


def inputs(seed: int, n: int, d: int, v: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, d, generator=generator, requires_grad=True)
    weight = torch.randn(v, d, generator=generator, requires_grad=True)
    return hidden, weight, torch.randint(0, v, (n,), generator=generator)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    n=st.sampled_from([0, 1, 2, 127, 128, 129, 260]),
    d=st.integers(1, 9),
    v=st.integers(1, 50),
    factor=st.sampled_from([1.0, -2.5, 1 / 7]),
)
def test_loss_and_gradients_equal_cross_entropy(seed: int, n: int, d: int, v: int, factor: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "_CHUNK_BYTES", 1)  # chunks of 128 rows, the fewest
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


def test_a_frozen_head_costs_no_gradient_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.Size] = []
    zeros_like = torch.zeros_like
    monkeypatch.setattr(torch, "zeros_like", lambda tensor, **keys: made.append(tensor.shape) or zeros_like(tensor))
    monkeypatch.setattr(language, "WHOLE_BYTES", 0)
    hidden, weight, targets = inputs(0, 5, 3, 7)
    for loss in (linear_cross_entropy, lambda *args: linear_logprobs(*args)[0].sum()):
        (grad,) = torch.autograd.grad(loss(hidden, weight.detach(), targets), (hidden,))
        assert weight.shape not in made
        (right, _) = torch.autograd.grad(loss(hidden, weight, targets), (hidden, weight))
        torch.testing.assert_close(grad, right)
        made.clear()


# log-probabilities -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    n=st.sampled_from([0, 1, 2, 127, 128, 129, 260]),
    v=st.integers(2, 50),
    temperature=st.sampled_from([1.0, 0.5, 1.7]),
    frozen=st.booleans(),
)
def test_logprobs_in_chunks_are_those_of_whole_logits(
    seed: int, n: int, v: int, temperature: float, frozen: bool
) -> None:
    hidden, weight, targets = inputs(seed, n, 5, v)
    weight = weight.requires_grad_(not frozen)
    factors = torch.randn(n, generator=torch.Generator().manual_seed(seed))  # PPO weighs every token differently
    learnt = (hidden,) if frozen else (hidden, weight)
    plain = (hidden @ weight.t() / temperature).log_softmax(-1)
    expected = plain.gather(1, targets[:, None])[:, 0]
    grads = torch.autograd.grad(expected @ factors, learnt)
    for whole in (0, 1 << 30):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(language, "_CHUNK_BYTES", 1)
            patch.setattr(language, "WHOLE_BYTES", whole)
            chosen, spread = linear_logprobs(hidden, weight, targets, temperature)
            assert not spread.requires_grad
            torch.testing.assert_close(chosen, expected, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(spread, -(plain.exp() * plain).sum(-1).detach(), rtol=1e-4, atol=1e-5)
            for mine, right in zip(torch.autograd.grad(chosen @ factors, learnt), grads, strict=True):
                torch.testing.assert_close(mine, right, rtol=1e-4, atol=1e-4)


class Largest(TorchDispatchMode):
    """Watches how many numbers the largest tensor of a computation has."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for one in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(one, Tensor):
                self.numbers = max(self.numbers, one.numel())
        return made


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("loss", ["cross-entropy", "log-probabilities", "without gradients"])
def test_many_logits_never_exist_together(monkeypatch: pytest.MonkeyPatch, loss: str, frozen: bool) -> None:
    n, v = 1000, 300
    monkeypatch.setattr(language, "_CHUNK_BYTES", 200 * v * 4)
    monkeypatch.setattr(language, "WHOLE_BYTES", n * v)
    hidden, weight, targets = inputs(0, n, 4, v)
    weight.requires_grad_(not frozen)
    with Largest() as seen:
        if loss == "cross-entropy":
            linear_cross_entropy(hidden, weight, targets).backward()
        elif loss == "log-probabilities":
            linear_logprobs(hidden, weight, targets)[0].sum().backward()
        else:
            with torch.no_grad():
                linear_logprobs(hidden, weight, targets)
    assert seen.numbers == 200 * v


def test_few_logits_are_kept_since_that_is_quickest(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = inputs(0, 260, 4, 30)
    monkeypatch.setattr(language, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(language, "WHOLE_BYTES", 260 * 30 * 4)
    with Largest() as seen:
        linear_logprobs(hidden, weight, targets)
    assert seen.numbers == 260 * 30
