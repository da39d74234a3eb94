"""AdamW for every parameter, or Muon for the matrices inside the blocks and AdamW for the rest.

Adapters are AdamW's in any case: their matrices are thin, and it is their product that acts.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from preceptor.config import Config


class OptimizerConfig(Config):
    """The optimizer keys that every training stage has."""

    optimizer: Literal["adamw", "muon"] = Field(
        "adamw",
        description="`muon` orthogonalises the updates of the matrices inside the blocks; the rest stays AdamW.",
    )
    lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    muon_lr: float = Field(0.02, gt=0, description='Peak learning rate of Muon (only with `optimizer = "muon"`).')
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of matrices.")
    warmup: float = Field(0.02, ge=0, le=1, description="Share of the steps in which the learning rate rises from 0.")
    final_lr: float = Field(0.1, ge=0, le=1, description="Share of the peak learning rate left at the end (cosine).")
    clip_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this global norm.")
    gradient_checkpointing: bool = Field(
        False,
        description="Keep only what goes into each block and compute the rest again for the gradient: "
        "much less memory, about a third more time, the same result.",
    )


def learning_rate_scale(config: OptimizerConfig, step: int, steps: int) -> float:
    """Linear warm-up, then cosine to ``final_lr``: the factor on the peak rate for step 0 .. steps - 1."""
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - 1 - warmup)
    return config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def orthogonalise(matrices: Tensor, iterations: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly, by a quintic Newton-Schulz iteration (Jordan et al. 2024, Muon).

    (..., rows, columns). Singular values end between about .7 and 1.2. In the dtype of the input: torch's own Muon
    goes through bfloat16, which CPUs without a unit for it multiply very slowly.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = (matrices if wide else matrices.mT).reshape(-1, *sorted(matrices.shape[-2:]))
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).reshape(matrices.shape)


def _in_block(name: str) -> bool:
    return "blocks." in name and ".adapter." not in name


class Optimizer:
    """Takes one step at a time; its state is plain tensors by name, so that it can be saved without pickle.

    Weights that a model holds in 16 bits have masters in float32 here, which take the steps and are rounded to the
    model's after each: 8 bits of a weight would swallow most updates.
    """

    def __init__(self, module: nn.Module, config: OptimizerConfig):
        self.config = config
        self.trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.masters = {
            name: nn.Parameter(p.detach().float()) for name, p in self.trained.items() if p.dtype != torch.float32
        }
        named = self.trained | self.masters
        self.muon = {n: p for n, p in named.items() if config.optimizer == "muon" and p.ndim == 2 and _in_block(n)}
        self.rest = {name: p for name, p in named.items() if name not in self.muon}
        self.momentum = {name: torch.zeros_like(p) for name, p in self.muon.items()}
        matrices = [p for p in self.rest.values() if p.ndim >= 2]
        vectors = [p for p in self.rest.values() if p.ndim < 2]
        self.adamw = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=config.lr,
            betas=(0.9, 0.95),
            eps=1e-8,
        )

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The model's own, which have the gradients."""
        return list(self.trained.values())

    def step(self, scale: float) -> None:
        """Move every parameter by its gradient; ``scale`` is the schedule's factor on the peak rates."""
        for name, master in self.masters.items():
            gradient = self.trained[name].grad
            master.grad = None if gradient is None else gradient.float()
        for group in self.adamw.param_groups:
            group["lr"] = self.config.lr * scale
        self.adamw.step()
        self._muon_step(self.config.muon_lr * scale)
        for name, master in self.masters.items():
            master.grad = None
            self.trained[name].data.copy_(master.detach())

    @torch.no_grad()
    def _muon_step(self, lr: float) -> None:
        """One product for all matrices of a shape: alone they are too small to keep a machine busy."""
        groups: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for name, parameter in self.muon.items():
            if parameter.grad is None:
                continue
            self.momentum[name].lerp_(parameter.grad, 0.05)
            update = parameter.grad.lerp(self.momentum[name], 0.95)  # Nesterov
            parameter.mul_(1 - lr * self.config.weight_decay)
            # Fused matrices (queries, keys and values; gate and up) are several maps in one: each is made
            # orthogonal by itself, in blocks of the input's width.
            rows, columns = update.shape
            rows = columns if rows % columns == 0 else rows
            for target, part in zip(parameter.split(rows), update.split(rows), strict=True):
                groups.setdefault(part.shape, []).append((target, part))
        for (rows, columns), group in groups.items():
            orthogonal = orthogonalise(torch.stack([part for _, part in group]))
            for (target, _), change in zip(group, orthogonal, strict=True):
                target.add_(change, alpha=-lr * max(1.0, rows / columns) ** 0.5)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Every number that the next step depends on."""
        tensors = {f"muon.{name}": momentum for name, momentum in self.momentum.items()}
        tensors |= {f"master.{name}": master.detach() for name, master in self.masters.items()}
        for name, parameter in self.rest.items():
            for key, value in self.adamw.state.get(parameter, {}).items():
                tensors[f"adamw.{name}/{key}"] = value
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        for name, momentum in self.momentum.items():
            momentum.copy_(tensors[f"muon.{name}"])
        for name, master in self.masters.items():
            master.data.copy_(tensors[f"master.{name}"])
        for key, value in tensors.items():
            if key.startswith("adamw."):
                name, part = key.removeprefix("adamw.").rsplit("/", 1)
                parameter = self.rest[name]
                device = value.device if part == "step" else parameter.device  # AdamW counts its steps on the CPU
                self.adamw.state[parameter][part] = value.clone().to(device)
