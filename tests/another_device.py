"""A device that this machine does not have, played by the CPU: its tensors compute as ever but mix with no others.

Under :func:`another_device` every tensor that is sent or made there ("meta" is the name it goes by) is a wrapper
around one of the CPU. An operation that gets a tensor of each side raises, as it would on a GPU; so does ``numpy()``.
Values are real, so whole stages can be run there and held against the CPU. What it cannot tell: whether the
kernels of a real device exist, are exact, or fast.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = torch.device("meta")
aten = torch.ops.aten
# Indices may lie on the CPU; copies are what crosses.
_MAY_MIX = (aten.index, aten.index_put, aten.index_put_, aten.copy_, aten._to_copy, aten._index_put_impl_)


class There(torch.Tensor):
    """A tensor on the other device."""

    inside: torch.Tensor

    @staticmethod
    def __new__(cls, inside: torch.Tensor) -> "There":
        made = torch.Tensor._make_wrapper_subclass(
            cls, inside.shape, strides=inside.stride(), storage_offset=inside.storage_offset(), dtype=inside.dtype,
            layout=inside.layout, device=NAME, requires_grad=False,
        )  # fmt: skip
        made.inside = inside
        return made

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["inside"], None

    @staticmethod
    def __tensor_unflatten__(inner: Any, context: Any, size: Any, stride: Any) -> "There":
        return There(inner["inside"])

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
    there = [one for one in tensors if isinstance(one, There)]
    here = [one for one in tensors if not isinstance(one, There) and one.dim() > 0]
    if there and here and function.overloadpacket not in _MAY_MIX:
        raise RuntimeError(f"{function} got tensors of two devices")
    target = kwargs.get("device")
    stays = bool(there) if target is None else torch.device(target) == NAME
    if target is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    inner_args, inner_kwargs = tree_map(lambda one: one.inside if isinstance(one, There) else one, (args, kwargs))
    if function.overloadpacket is aten._conj:  # down here nothing looks at the bit that says "conjugated"
        function = aten._conj_physical.default
    result = function(*inner_args, **inner_kwargs)
    if function.overloadpacket is aten._to_copy and there and target is not None and not stays:
        result = result.clone()  # what comes back shares nothing with what is there
    written = _written(function, args, kwargs)
    if written is not None:
        return written
    if function.overloadpacket is aten._to_copy and not there and stays:
        result = result.clone()
    return tree_map(lambda one: There(one) if stays and isinstance(one, torch.Tensor) else one, result)


def _written(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What an operation in place, or one with ``out=``, has written to and returns."""
    schema = function._schema
    targets = []
    for place, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            targets.append(args[place] if place < len(args) else kwargs[argument.name])
    returned = [one for one in schema.returns if one.alias_info is not None and one.alias_info.is_write]
    if not targets or not returned:
        return None
    return targets[0] if len(returned) == 1 else tuple(targets)


@contextmanager
def another_device() -> Iterator[torch.device]:
    """Give the device; it is there until the block ends."""
    with pytest.MonkeyPatch.context() as patch, _Mode():
        # Tensors made in inference mode have no version counter, and wrappers need one; without gradients is enough.
        patch.setattr(torch.inference_mode, "__enter__", _without_gradients)
        patch.setattr(torch.inference_mode, "__exit__", _as_before)
        patch.setattr(torch, "tensor", partial(_tensor, torch.tensor))  # does not ask the mode
        yield NAME


def _tensor(original: Any, data: Any, *, device: Any = None, **keys: Any) -> torch.Tensor:
    made: torch.Tensor = original(data, **keys)
    return made if device is None else made.to(device)


def _without_gradients(self: Any) -> None:
    self.before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)


def _as_before(self: Any, *error: Any) -> None:
    torch.set_grad_enabled(self.before)
