"""x @ weight + bias, for weights that stay as they are while many small x come by.

Two ways to lay the weight out. *Plain* is the transposed matrix in reading order: it is best for a single row, which
waits for nothing but the memory, and for small matrices. *Packed* is oneDNN's own blocked order: with a few dozen
rows a product of a large matrix takes a third less time, since an ordinary one first brings the matrix into such an
order each time. The operations for it are those that torch.compile emits; torch has no public name for them, so where
they are missing or do not give the right answer, everything is plain.

Shapes: N rows, I inputs, O outputs.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

PACKED_FROM = 2**18  # elements of a weight; smaller ones stay in the caches, and a call costs more than it saves


class Plain(NamedTuple):
    """The product with a matrix in reading order."""

    weight: Tensor  # (I, O)
    bias: Tensor | None

    def into(self, out: Tensor, x: Tensor) -> Tensor:
        """Write the product (N, O) to ``out``."""
        if self.bias is None:
            return torch.mm(x, self.weight, out=out)
        return torch.addmm(self.bias, x, self.weight, out=out)

    def of(self, spare: Tensor, x: Tensor) -> Tensor:
        """The product (N, O); ``spare`` is a buffer of its shape that may be used for it."""
        return self.into(spare, x)

    def onto(self, total: Tensor, x: Tensor) -> None:
        """Add the product to ``total``."""
        total.addmm_(x, self.weight)
        if self.bias is not None:
            total += self.bias


class Packed(NamedTuple):
    """The product with a matrix in oneDNN's order."""

    weight: Tensor  # opaque
    bias: Tensor | None

    def into(self, out: Tensor, x: Tensor) -> Tensor:
        """See :class:`Plain`."""
        return out.copy_(self._product(x))

    def of(self, spare: Tensor, x: Tensor) -> Tensor:
        """See :class:`Plain`."""
        return self._product(x)

    def onto(self, total: Tensor, x: Tensor) -> None:
        """See :class:`Plain`."""
        total += self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return product


Product = Plain | Packed


def product(weight_OI: Tensor, bias: Tensor | None, rows: int) -> Product:
    """The product with a float32 weight, laid out for about ``rows`` rows at a time. The weight is copied."""
    large = weight_OI.numel() >= PACKED_FROM
    if rows > 1 and large and weight_OI.device.type == "cpu" and can_pack():
        return Packed(_packed(weight_OI, rows), bias)
    return Plain(weight_OI.t().contiguous(), bias)


def _packed(weight_OI: Tensor, rows: int) -> Tensor:
    weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI.contiguous(), rows)
    return weight


@cache
def can_pack() -> bool:
    """Whether this build of torch has the operations for packed weights, and they are right."""
    x, weight = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
    try:
        found = Packed(_packed(weight, 2), torch.ones(4)).of(x, x)
    except (AttributeError, RuntimeError):  # NotImplementedError is a RuntimeError
        return False
    return torch.equal(found, x @ weight.t() + 1)
