"""AdamW, Muon, their schedule and their state."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.models.compute import ComputeConfig, place
from preceptor.models.transformer import Transformer
from preceptor.training.checkpoint import read_state, write_state
from preceptor.training.optimizer import Optimizer, OptimizerConfig, learning_rate_scale, orthogonalise

MakeModel = Callable[..., Transformer]
IDS = torch.arange(7, 27).view(2, 10)


def config(optimizer: Literal["adamw", "muon"] = "adamw", **keys: float) -> OptimizerConfig:
    return OptimizerConfig(optimizer=optimizer, **keys)  # type: ignore[arg-type]


def give_gradients(model: Transformer, step: int) -> None:
    model.zero_grad()
    model((IDS + 31 * step) % 270).log_softmax(-1)[..., 5].sum().neg().backward()


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    scale=st.sampled_from([1e-4, 1.0, 1e3]),
    seed=st.integers(0, 99),
)
def test_orthogonalise_is_near_orthogonal_and_keeps_the_singular_vectors(
    rows: int, columns: int, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (max(rows, columns), min(rows, columns))
    u, v = (torch.linalg.qr(torch.randn(size, size, generator=generator))[0] for size in shape)
    # The iteration lifts singular values from a hundredth of the norm; smaller ones take more rounds.
    singular = torch.linspace(0.3, 1.0, shape[1]) * scale
    matrix = u[:, : shape[1]] * singular @ v.t()
    if rows < columns:
        matrix = matrix.t()
    result = orthogonalise(matrix)
    assert result.shape == matrix.shape
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6
    assert values.max() < 1.3
    nearest = u[:, : shape[1]] @ v.t()  # the polar factor
    assert (result - (nearest.t() if rows < columns else nearest)).abs().max() < 0.4


def test_orthogonalise_of_nothing_is_nothing() -> None:
    assert torch.equal(orthogonalise(torch.zeros(3, 5)), torch.zeros(3, 5))


@settings(deadline=None, max_examples=60)
@given(steps=st.integers(1, 300), warmup=st.floats(0, 1), final=st.floats(0, 1))
def test_the_rate_warms_up_peaks_and_falls_to_its_end(steps: int, warmup: float, final: float) -> None:
    scales = [learning_rate_scale(config(warmup=warmup, final_lr=final), step, steps) for step in range(steps)]
    rising = math.ceil(warmup * steps)
    assert all(0 < scale <= 1 or (scale == 0 and final == 0) for scale in scales)
    for step in range(rising):
        assert scales[step] == pytest.approx((step + 1) / rising)
    falling = scales[rising:]
    assert falling == sorted(falling, reverse=True)
    if falling:
        assert falling[0] == 1.0
    if len(falling) > 1:
        assert falling[-1] == pytest.approx(final, abs=1e-12)
    if len(falling) > 2 and len(falling) % 2:
        assert falling[len(falling) // 2] == pytest.approx((1 + final) / 2)  # the cosine's middle


def test_muon_takes_the_matrices_inside_the_blocks_and_adamw_the_rest(tiny_model: MakeModel) -> None:
    model = tiny_model("gpt2")
    optimizer = Optimizer(model, config("muon"))
    assert set(optimizer.muon) == {n for n, p in model.named_parameters() if n.startswith("blocks.") and p.ndim == 2}
    assert len(optimizer.parameters) == len(list(model.parameters())), "everything is trained, tied weights once"
    assert {"embed.weight", "positions.weight", "norm.bias", "blocks.0.attention.qkv.bias"} <= set(optimizer.rest)
    assert not Optimizer(model, config("adamw")).muon


def test_a_muon_step_has_the_size_of_its_rate_whatever_the_gradient(tiny_model: MakeModel) -> None:
    sizes = []
    for factor in (1e-3, 1e3):
        model = tiny_model()
        optimizer = Optimizer(model, config("muon", muon_lr=0.01))
        before = model.blocks[0].attention.qkv.weight.detach().clone()
        give_gradients(model, 0)
        for parameter in model.parameters():
            parameter.grad *= factor
        optimizer.step(0.5)
        sizes.append(model.blocks[0].attention.qkv.weight.detach() - before)
    torch.testing.assert_close(*sizes, rtol=1e-3, atol=2e-6)
    assert 0.4 < torch.linalg.matrix_norm(sizes[0][:16], ord=2) / 0.005 < 1.3


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weight_decay_shrinks_matrices_alone(tiny_model: MakeModel, name: Literal["adamw", "muon"]) -> None:
    model = tiny_model("gpt2")
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = Optimizer(model, config(name, weight_decay=0.5, lr=0.1, muon_lr=0.1))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    for n, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[n] * (0.95 if parameter.ndim == 2 else 1.0), msg=n)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_saved_optimizer_goes_on_bit_for_bit(
    tiny_model: MakeModel, tmp_path: Path, family: str, name: Literal["adamw", "muon"]
) -> None:
    """Steps 0..5 in one go, and steps 0..2, a file, and steps 3..5 in a new optimizer."""
    whole, broken = tiny_model(family), tiny_model(family)
    settings_ = config(name, weight_decay=0.1)
    steps = Optimizer(whole, settings_)
    first = Optimizer(broken, settings_)
    assert not any(name.startswith("adamw") for name in first.state()), "nothing before the first step"
    for step in range(6):
        give_gradients(whole, step)
        steps.step(1 / (step + 1))
        if step < 3:
            give_gradients(broken, step)
            first.step(1 / (step + 1))
    write_state(tmp_path / "state", first.state(), {})
    second = Optimizer(broken, settings_)
    second.load_state(read_state(tmp_path / "state")[0])
    for step in range(3, 6):
        give_gradients(broken, step)
        second.step(1 / (step + 1))
    for (n, mine), theirs in zip(broken.named_parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs), n
    assert all(torch.equal(value, steps.state()[key]) for key, value in second.state().items())
    assert set(second.state()) == set(steps.state())


def test_zero_grad_forgets_and_a_parameter_without_gradient_stays(tiny_model: MakeModel) -> None:
    model = tiny_model()
    optimizer = Optimizer(model, config("muon"))
    give_gradients(model, 0)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer.step(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_weights_in_16_bits_move_as_their_masters_do(
    tiny_model: MakeModel, tmp_path: Path, kind: Literal["adamw", "muon"]
) -> None:
    """Steps far below the last of their 8 bits add up, and a restart goes on from the masters, not the rounding."""
    keys = config(kind, lr=2e-5, muon_lr=2e-5)
    model = place(tiny_model(), ComputeConfig(dtype="bfloat16"))
    start = {name: parameter.detach().float() for name, parameter in model.named_parameters()}
    optimizer = Optimizer(model, keys)
    for step in range(6):
        if step == 3:
            write_state(tmp_path / "state", optimizer.state(), {})
            other = copy.deepcopy(model)
        give_gradients(model, step)
        optimizer.step(1.0)
    again = Optimizer(other, keys)
    again.load_state(read_state(tmp_path / "state")[0])
    for step in range(3, 6):
        give_gradients(other, step)
        again.step(1.0)
    assert set(optimizer.masters) == set(start)
    for name, master in optimizer.masters.items():
        assert (master - start[name]).norm() > 0, name
        assert torch.equal(model.get_parameter(name), master.bfloat16())
        assert torch.equal(again.masters[name], master), "bit for bit"
    moved = optimizer.masters["embed.weight"] - start["embed.weight"]
    assert moved.abs().max() > 6e-5, "several steps of 2e-5 each"
    rounded = model.embed.weight.float() - start["embed.weight"]
    assert (rounded == 0).float().mean() > 0.5, "most of them too small to be seen in 16 bits, and not lost"
