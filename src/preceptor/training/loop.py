"""The one training loop. Pretraining, SFT, the reward model and PPO all take their steps here.

A stage gives a :class:`TrainingState` and a function that does step number n. What step n
draws depends on n and the seed alone, so the step counter is the data cursor, and a run that is
killed and started again takes exactly the steps that were still to be taken.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from preceptor.errors import InputError
from preceptor.models.lora import own_parameters
from preceptor.training.checkpoint import read_state, write_state
from preceptor.training.optimizer import Optimizer
from preceptor.training.progress import StageProgress

Metrics = dict[str, float]
CHECKPOINT = "training.safetensors"  # beside the model, while its stage is not done


@dataclass
class TrainingState:
    """Everything a next step depends on, apart from the recipe, the seed and the input files.

    Of a module with adapters that is the adapters and its head: the weights below them stay as they were read.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    tensors: dict[str, Tensor] = field(default_factory=dict)  # averages of weights and the like
    values: dict[str, Any] = field(default_factory=dict)  # JSON-able: controllers, counters
    step: int = 0

    def save(self, path: Path) -> None:
        """Write all of it to one file."""
        tensors = {f"tensor/{name}": tensor for name, tensor in self.tensors.items()}
        for name, module in self.modules.items():
            tensors |= {f"module/{name}/{key}": value for key, value in own_parameters(module).items()}
        for name, optimizer in self.optimizers.items():
            tensors |= {f"optimizer/{name}/{key}": value for key, value in optimizer.state().items()}
        write_state(path, tensors, {"step": self.step, "values": self.values})

    def load(self, path: Path) -> None:
        """Take back what :meth:`save` wrote."""
        tensors, saved = read_state(path)
        for name, module in self.modules.items():
            for key, parameter in own_parameters(module).items():
                parameter.data.copy_(tensors[f"module/{name}/{key}"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state(_under(tensors, f"optimizer/{name}/"))
        self.tensors = _under(tensors, "tensor/")
        self.values = saved["values"]
        self.step = saved["step"]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def train(
    state: TrainingState,
    steps: int,
    do_step: Callable[[int], Metrics],
    *,
    checkpoint: Path,
    stage: StageProgress,
    checkpoint_seconds: float = 20.0,
) -> None:
    """Do the steps that are left, log each, and save the state from time to time.

    When checkpoints are written depends on the clock; what is trained does not. The state of a large model takes long
    to write, so about a twentieth of the time goes into that at most.
    """
    wait = checkpoint_seconds
    if checkpoint.exists():
        state.load(checkpoint)
    stage.start(steps, done=state.step)
    saved = time.monotonic()
    for step in range(state.step, steps):
        metrics = do_step(step)
        state.step = step + 1
        tokens = int(metrics.pop("tokens", 0))
        stage.log(state.step, tokens=tokens, **metrics)
        if time.monotonic() - saved > wait and state.step < steps:
            began = time.monotonic()
            state.save(checkpoint)
            saved = time.monotonic()
            wait = max(checkpoint_seconds, 19 * (saved - began - 1))  # a second is little to pay in any case


def optimize(optimizer: Optimizer, losses: Iterable[Tensor], *, scale: float, where: str) -> Metrics:
    """One optimizer step from the losses of its micro-batches; gives their sum and the gradient's norm.

    Each loss is already divided by the count of tokens (or prompts) of the *whole* batch, so
    that the split into micro-batches changes nothing but rounding. A loss or a gradient
    that is not finite stops the run before any weight moves.
    """
    optimizer.zero_grad()
    total = 0.0
    for loss in losses:
        loss.backward()
        total += float(loss.detach())
    norm = float(torch.nn.utils.clip_grad_norm_(optimizer.parameters, optimizer.config.clip_norm))
    if not (total - total == 0 and norm - norm == 0):  # neither NaN nor infinite
        optimizer.zero_grad()
        raise InputError(
            f"{where}: the loss is {total} and the gradient norm {norm}; nothing was changed by this step; "
            "lower the learning rate (lr) or look for damaged data, and start again from the last checkpoint"
        )
    optimizer.step(scale)
    optimizer.zero_grad()
    return {"loss": total, "grad_norm": norm, "lr_scale": scale}
