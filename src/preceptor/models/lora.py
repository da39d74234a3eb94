"""LoRA (arXiv 2106.09685): which layers get an adapter, and models that share the frozen weights below them.

There is no switch that turns adapters on and off. A model with adapters is another object over the very tensors of
its base: the policy has adapters, the reference is the base, and both hold the weights once.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.keyed import Key, key_bits, torch_rng
from preceptor.models.config import TransformerConfig
from preceptor.models.families import family
from preceptor.models.families.pieces import Storage, output_rows
from preceptor.models.linear import Adapter, Linear, Part, merged_weight
from preceptor.models.transformer import Transformer

ALL_LINEAR = "all-linear"
Module = TypeVar("Module", bound=nn.Module)


class LoRAConfig(Config):
    """The ``[lora]`` table."""

    rank: int = Field(
        0, ge=0, description="Rank of the adapters that sft, reward and ppo train (by AdamW); 0 trains the whole model."
    )
    alpha: float = Field(16.0, gt=0, description="An adapter adds alpha / rank times its product.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of an adapter's input, in sft alone.")
    targets: tuple[str, ...] = Field(
        (ALL_LINEAR,),
        min_length=1,
        description="Layers that get an adapter, by the names that their family has in Hugging Face's files "
        "(`q_proj`, `mlp.down_proj`, `c_attn`, `query_key_value`); `all-linear`: every one inside the blocks.",
    )


NO_LORA = LoRAConfig()


class Place(NamedTuple):
    """Where one of a checkpoint's linear layers lies in our decoder."""

    layer: str  # the module, blocks.0.attention.qkv
    rows: slice  # of its outputs
    stored: Storage  # how its outputs are ordered there


def linear_layers(config: TransformerConfig) -> dict[str, Place]:
    """Every linear layer inside the blocks, by its full name in the family's files less the trunk's prefix."""
    found = {}
    for piece in family(config.family, "model").pieces(config):
        theirs, ours = (name.removesuffix(".weight") for name in (piece.theirs, piece.ours))
        if piece.ours.endswith((".qkv.weight", ".out.weight", ".up.weight", ".down.weight")):
            found[theirs] = Place(ours, piece.rows, output_rows(piece.stored))
    return found


def targeted(config: TransformerConfig, targets: tuple[str, ...]) -> list[str]:
    """The layers that ``targets`` name, as :func:`linear_layers` does. An :class:`InputError` lists what there is."""
    layers = linear_layers(config)
    chosen: set[str] = set()
    for target in targets:
        fitting = {name for name in layers if target == ALL_LINEAR or f".{name}".endswith(f".{target}")}
        if not fitting:
            known = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in layers))
            raise InputError(
                f"lora.targets names {target}, no linear layer of a block; there are {known}, {ALL_LINEAR}"
            )
        chosen |= fitting
    return [name for name in layers if name in chosen]


class Pair(NamedTuple):
    """The adapter of one layer of a checkpoint."""

    down: Tensor  # A, (rank, in)
    up: Tensor  # B, (out, rank), its rows as they are stored there
    scale: float


def adapted(base: Transformer, pairs: Mapping[str, Pair], dropout: float = 0.0) -> Transformer:
    """A decoder over the weights of ``base``, which are frozen, with adapters of its own.

    ``pairs`` are by names of :func:`linear_layers`. A layer that is not there, or a shape that does not fit, is a
    ValueError that names it.
    """
    layers = linear_layers(base.config)
    by_layer: dict[str, dict[str, Pair]] = {}
    for name, pair in pairs.items():
        if name not in layers:
            raise ValueError(f"there is no linear layer {name}")
        by_layer.setdefault(layers[name].layer, {})[name] = pair
    model = over(base.requires_grad_(False))
    for layer, members in by_layer.items():
        linear = _linear(model, layer)
        parts = [_part(linear, name, layers[name].rows, pair) for name, pair in members.items()]
        linear.adapter = Adapter(parts, linear, dropout, key_bits(0, layer) % 2**31)
        for part, (name, pair) in zip(parts, members.items(), strict=True):
            linear.adapter.A[part.name].data.copy_(pair.down)
            linear.adapter.B[part.name].data.copy_(layers[name].stored.read(pair.up))
    return model


def _linear(model: Transformer, layer: str) -> Linear:
    found = model.get_submodule(layer)
    assert isinstance(found, Linear)
    return found


def _part(linear: Linear, name: str, rows: slice, pair: Pair) -> Part:
    start, stop, _ = rows.indices(linear.out_features)
    rank = pair.down.shape[0]
    wanted, found = [(rank, linear.in_features), (stop - start, rank)], [tuple(one.shape) for one in pair[:2]]
    if found != wanted:
        raise ValueError(f"{name} takes A and B of the shapes {wanted}, not {found}")
    return Part(name.rpartition(".")[2], start, stop, rank, pair.scale)


def fresh_adapters(base: Transformer, config: LoRAConfig, seed: int, *key: Key, dropout: bool = False) -> Transformer:
    """:func:`adapted` for a training that begins: A is drawn, B is 0, so it computes what ``base`` does.

    A is uniform within 1 / sqrt(in), as PEFT draws it; the paper has a normal distribution of no stated width. The
    draws are named by ``seed`` and ``key``. Only with ``dropout`` is there any.
    """
    layers, pairs = linear_layers(base.config), {}
    for name in targeted(base.config, config.targets):
        linear = _linear(base, layers[name].layer)
        start, stop, _ = layers[name].rows.indices(linear.out_features)
        down = torch.empty(config.rank, linear.in_features)
        down.uniform_(-(linear.in_features**-0.5), linear.in_features**-0.5, generator=torch_rng(seed, *key, name))
        pairs[name] = Pair(down, torch.zeros(stop - start, config.rank), config.alpha / config.rank)
    return adapted(base, pairs, config.dropout if dropout else 0.0)


def adapter_pairs(model: Transformer) -> dict[str, Pair]:
    """The adapters of a model as :func:`adapted` takes them; empty where there are none."""
    found = {}
    for name, place in linear_layers(model.config).items():
        adapter = _linear(model, place.layer).adapter
        if adapter is None:
            continue
        for part in adapter.parts:
            if part.name == name.rpartition(".")[2]:
                up = place.stored.write(adapter.B[part.name].detach())
                found[name] = Pair(adapter.A[part.name].detach(), up, part.scale)
    return found


# weights that are shared, and weights that are a model's own --------------------------------------


def own_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """What a model has for itself: its adapters and its scalar head, if it has adapters; else every parameter.

    Tied weights come once. What is trained, saved while it is trained, averaged and copied is this.
    """
    named = dict(model.named_parameters())
    if not any(_is_adapters(name) for name in named):
        return named
    return {name: one for name, one in named.items() if _is_adapters(name) or name.startswith("score.")}


def _is_adapters(name: str) -> bool:
    return ".adapter." in name


def over(model: Module) -> Module:
    """Another module over the very tensors of ``model``."""
    return _copied(model, {})


def fork(model: Module) -> Module:
    """A copy that can learn by itself: what the model has for itself is copied, frozen weights below it are shared."""
    return _copied(model, {id(parameter): parameter for parameter in own_parameters(model).values()})


def _copied(model: Module, own: Mapping[int, Tensor]) -> Module:
    shared: dict[int, Any] = {id(one): one for one in (*model.parameters(), *model.buffers()) if id(one) not in own}
    return copy.deepcopy(model, shared)


def plain_state(model: Transformer) -> dict[str, Tensor]:
    """The weights under the names of a decoder without adapters, with the adapters merged into them."""
    state = {name: one.detach() for name, one in model.state_dict().items() if not _is_adapters(name)}
    for name, module in model.named_modules():
        if isinstance(module, Linear) and module.adapter is not None:
            with torch.no_grad():
                state[f"{name}.weight"] = merged_weight(module).to(module.weight.dtype)
    return state
