"""The one loop: it stops before harm, and goes on where it was."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from preceptor.errors import InputError
from preceptor.files import write_atomic
from preceptor.training.checkpoint import read_state, write_state
from preceptor.training.loop import CHECKPOINT, Metrics, TrainingState, optimize, train
from preceptor.training.optimizer import Optimizer, OptimizerConfig
from preceptor.training.progress import Progress


class Net(nn.Module):
    """A tied pair, a vector, and a matrix that Muon takes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList([nn.Linear(4, 4)])
        self.embed, self.head = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.blocks[0](self.embed(x))))


CONFIG = OptimizerConfig(optimizer="muon", lr=0.01, muon_lr=0.01, clip_norm=0.5)


def copies(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def inputs(step: int) -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(step))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_loss_that_is_not_finite_stops_before_the_optimizer_moves(bad: float, place: int) -> None:
    net = Net()
    optimizer = Optimizer(net, CONFIG)
    optimize(optimizer, [net(inputs(0)).sum()], scale=1.0, where="x")
    weights, state = copies(net), {key: value.clone() for key, value in optimizer.state().items()}
    losses = (net(inputs(i)).sum() * (bad if i == place else 1.0) for i in range(3))
    with pytest.raises(InputError, match=r"sft step 7: the loss is .*lower the learning rate") as caught:
        optimize(optimizer, losses, scale=1.0, where="sft step 7")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))
    assert all(torch.equal(value, optimizer.state()[key]) for key, value in state.items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_gradient_that_is_not_finite_under_a_finite_loss_stops_too() -> None:
    net = Net()
    weights = copies(net)

    def loss() -> Tensor:  # sqrt at 0: the value is 0, the slope infinite
        return (net.blocks[0].bias * 0).sum().sqrt()

    with pytest.raises(InputError, match=r"gradient norm (nan|inf)"):
        optimize(Optimizer(net, CONFIG), [loss()], scale=1.0, where="x")
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))


@pytest.mark.parametrize("split", [[6], [3, 3], [1, 5], [2, 2, 1, 1]])
def test_point_12_the_split_into_micro_batches_changes_rounding_only(split: list[int]) -> None:
    def moved(parts: list[int]) -> tuple[list[Tensor], Metrics]:
        net = Net()
        pieces = inputs(0).split(parts)
        found = optimize(
            Optimizer(net, CONFIG), (net(piece).square().sum() / 6 for piece in pieces), scale=0.7, where="x"
        )
        return copies(net), found

    (weights, found), (whole, right) = moved(split), moved([6])
    assert found == pytest.approx(right)
    assert found["lr_scale"] == 0.7
    for mine, theirs in zip(weights, whole, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_gradients_are_clipped_to_the_norm_and_the_norm_before_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    optimizer = Optimizer(net, CONFIG)
    norms = []

    def step(scale: float) -> None:
        norms.append(torch.stack([p.grad.norm() for p in net.parameters()]).norm().item())  # type: ignore[union-attr]

    monkeypatch.setattr(optimizer, "step", step)
    found = optimize(optimizer, [net(inputs(0)).square().sum() * 100], scale=1.0, where="x")
    assert norms == pytest.approx([0.5], rel=1e-4)
    assert found["grad_norm"] > 50


def trainer(out: Path, *, stop_at: int | None = None, every: float = 0.0) -> tuple[TrainingState, list[int]]:
    """Ten steps of a net; ``stop_at`` is the step that is interrupted."""
    net = Net()
    optimizer = Optimizer(net, CONFIG)
    state = TrainingState({"net": net}, {"net": optimizer}, tensors={"sum": torch.zeros(4)}, values={"seen": []})
    done: list[int] = []

    def do_step(step: int) -> Metrics:
        if step == stop_at:
            raise KeyboardInterrupt
        done.append(step)
        found = optimize(optimizer, [net(inputs(step)).square().sum()], scale=1.0, where="x")
        state.tensors["sum"] = state.tensors["sum"] + net.blocks[0].bias.detach()
        state.values["seen"] = [*state.values["seen"], step]
        return found | {"tokens": 3}

    with Progress(quiet=True).stage("test", out) as stage:
        train(state, 10, do_step, checkpoint=out / CHECKPOINT, stage=stage, checkpoint_seconds=every)
    return state, done


@pytest.mark.parametrize("stop_at", [0, 1, 4, 9])
def test_an_interrupted_run_goes_on_bit_for_bit(
    tmp_path: Path, lines: Callable[[Path], list[dict]], stop_at: int
) -> None:
    whole, all_steps = trainer(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "broken", stop_at=stop_at)
    again, steps = trainer(tmp_path / "broken")
    assert all_steps == list(range(10))
    assert steps == list(range(stop_at, 10)), "no step is taken twice when its checkpoint was written"
    for mine, theirs in zip(copies(again.modules["net"]), copies(whole.modules["net"]), strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(again.tensors["sum"], whole.tensors["sum"])
    assert again.values == whole.values == {"seen": list(range(10))}
    mine, theirs = lines(tmp_path / "broken/metrics.jsonl"), lines(tmp_path / "whole/metrics.jsonl")
    assert [{**a, "tokens_per_second": 0} for a in mine] == [{**b, "tokens_per_second": 0} for b in theirs]


def test_without_a_checkpoint_it_starts_over_and_ends_alike(tmp_path: Path) -> None:
    whole, _ = trainer(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "broken", stop_at=6, every=1e9)
    assert not (tmp_path / "broken" / CHECKPOINT).exists()
    again, steps = trainer(tmp_path / "broken", every=1e9)
    assert steps == list(range(10))
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.modules["net"].parameters(), whole.modules["net"].parameters(), strict=True)
    )


@pytest.mark.parametrize("keep", [0, 5, 8, 200, -1])
def test_a_torn_checkpoint_is_a_clear_error(tmp_path: Path, keep: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path, stop_at=5)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"training.safetensors: is damaged .*delete it and the stage starts over"):
        trainer(tmp_path)
    path.unlink()
    assert trainer(tmp_path)[1] == list(range(10))


@pytest.mark.parametrize("content", [b"\x02\0\0\0\0\0\0\0{}", b"not safetensors at all", b"\0" * 64])
def test_another_file_in_its_place_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    write_atomic(tmp_path / "state", content)
    with pytest.raises(InputError, match="is damaged"):
        read_state(tmp_path / "state")


def test_a_state_file_keeps_every_bit_and_no_pickle(tmp_path: Path) -> None:
    tensors = {"a/b": torch.tensor([0.1, -0.0, 1e-45]), "step": torch.tensor(3.0), "cut": torch.arange(6.0)[::2]}
    values = {"kl": 0.1 + 0.2, "best": None, "kind": "é"}
    write_state(tmp_path / "state", tensors, values)
    read, said = read_state(tmp_path / "state")
    assert said == values == json.loads(json.dumps(values))
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(read[name].view(torch.int32), tensor.contiguous().view(torch.int32))


def test_a_failed_write_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path / "state", {"a": torch.ones(2)}, {"n": 1})

    def full_disk(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_state(tmp_path / "state", {"a": torch.zeros(2)}, {"n": 2})
    tensors, values = read_state(tmp_path / "state")
    assert values == {"n": 1}
    assert tensors["a"].tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_large_state_is_saved_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second and a save ten: a twentieth of the time at most goes into saves."""
    clock, saves = [0.0], []

    def save(self: TrainingState, path: Path) -> None:
        saves.append(self.step)
        clock[0] += 10

    def do_step(step: int) -> Metrics:
        clock[0] += 1
        return {}

    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr(TrainingState, "save", save)
    with Progress(quiet=True).stage("x", None) as stage:
        train(TrainingState({}, {}), 1000, do_step, checkpoint=tmp_path / "c", stage=stage, checkpoint_seconds=20)
    assert saves[0] == 21
    assert 4 <= len(saves) <= 6
