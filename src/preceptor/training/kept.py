"""The best weights so far, kept in the training state: no other copy is on the disk, and a restart loses none."""

from typing import Any

import torch
from torch import nn

from preceptor.models.lora import own_parameters
from preceptor.training.loop import TrainingState


def keep(state: TrainingState, module: nn.Module, why: dict[str, Any]) -> None:
    """Remember the weights of ``module`` in the place of those kept before; ``why`` becomes ``values["best"]``."""
    state.values["best"] = why
    for name, parameter in own_parameters(module).items():
        state.tensors[f"best/{name}"] = parameter.detach().clone()


@torch.no_grad()
def restore(state: TrainingState, module: nn.Module) -> None:
    """Put the kept weights into ``module``."""
    for name, parameter in own_parameters(module).items():
        parameter.copy_(state.tensors[f"best/{name}"])
