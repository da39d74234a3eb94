"""How models are held and computed: the ``[compute]`` table, which every stage with a model takes."""

from typing import Literal, TypeVar

import torch
from pydantic import Field

from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer

M = TypeVar("M", Transformer, ScalarModel)


class ComputeConfig(Config):
    """The ``[compute]`` table."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where models are computed; `auto`: `cuda` where there is one, else `cpu`."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of the weights in a pass; `auto`: `bfloat16` on `cuda` devices made for it, else `float32`. The "
        "optimizer's weights are float32 in any case.",
    )
    compile: bool = Field(
        False, description="Whether torch.compile makes the blocks of models that are trained; takes minutes to begin."
    )
    max_length: int | None = Field(
        None,
        ge=8,
        description="Longest conversation in tokens, the response included, in all stages behind the base model: what "
        "is longer is truncated. None: the context of the model.",
    )
    token_budget: int = Field(
        4096,
        ge=1,
        description="Tokens, padding included, of sequences of like length in one forward and backward pass of SFT, "
        "reward model and PPO; changes memory and speed, not the result.",
    )

    def torch_device(self) -> torch.device:
        """The device; an :class:`InputError` if this machine has none of that name."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not there[self.device]:
            raise InputError(
                f'compute.device = "{self.device}": this torch finds no such device; use "auto", or install the build '
                "of torch for it"
            )
        return torch.device(self.device)

    def torch_dtype(self) -> torch.dtype:
        """The dtype of weights in a pass."""
        if self.dtype != "auto":
            return torch.float32 if self.dtype == "float32" else torch.bfloat16
        good = self.torch_device().type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if good else torch.float32


COMPUTE = ComputeConfig()  # for a stage that is called without


def place(model: M, compute: ComputeConfig) -> M:
    """The model itself, on its device, in its dtype, and limited to ``max_length``.

    Tables of positions stay in float32, and so do adapters and the scalar head: a bias that makes the mean of many
    scores 0 has no room in 8 bits.
    """
    model.to(compute.torch_device())
    trunk = model.trunk if isinstance(model, ScalarModel) else model
    dtype = compute.torch_dtype()
    for name, parameter in trunk.named_parameters():  # tied weights are one parameter and stay it
        if ".adapter." not in name:
            parameter.data = parameter.data.to(dtype)
    if compute.max_length is not None:
        trunk.context = min(compute.max_length, trunk.config.max_position_embeddings)
    return model


def compile_blocks(model: Transformer | ScalarModel, compute: ComputeConfig) -> None:
    """Let torch.compile make the blocks of a model that is trained, if the recipe says so.

    Block by block, in place: names of weights stay, and blocks of a kind share the work. Copies of the model are
    not compiled.
    """
    if compute.compile:
        trunk = model.trunk if isinstance(model, ScalarModel) else model
        for block in trunk.blocks:
            block.compile(dynamic=True)
