"""A decoder's weights, prepared for generating.

A small model's decoding step is short of arithmetic and long of overhead. So what can be
multiplied in advance is: the scale and shift of a norm and the scale of attention disappear in
the matrices beside them, and matrices lie the way the product reads them. The weights are
copies: prepare them anew when the model has learned.

Shapes: N rows, D hidden size, I width of the MLP, V vocabulary, H query heads, K key/value heads,
C channels of a head.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preceptor.models.transformer import Block, Transformer


class Affine(NamedTuple):
    """x @ weight + bias."""

    weight: Tensor  # (in, out)
    bias: Tensor | None

    def into(self, out: Tensor, x: Tensor) -> Tensor:
        """Write the product to ``out``."""
        if self.bias is None:
            return torch.mm(x, self.weight, out=out)
        return torch.addmm(self.bias, x, self.weight, out=out)

    def onto(self, total: Tensor, x: Tensor) -> None:
        """Add the product to ``total``."""
        total.addmm_(x, self.weight)
        if self.bias is not None:
            total += self.bias


class Layer(NamedTuple):
    """One block."""

    qkv: Affine
    out: Affine
    up: Affine
    down: Affine


class Prepared:
    """The weights, and the few operations that stand between the products."""

    def __init__(self, model: Transformer):
        self.config = config = model.config
        self.rms, self.rotary, self.gated = (
            config.norm == "rmsnorm",
            config.position == "rotary",
            config.mlp == "swiglu",
        )
        with torch.no_grad():
            self.embed = model.embed.weight.float()
            self.layers = [self._block(block) for block in model.blocks if isinstance(block, Block)]
            self.head = self._fold(model.norm, model.head)
            # A rotation is a product with cos + i sin; a learned position is added.
            if self.rotary:
                halves = [model.get_buffer(name).float() for name in ("cos", "sin")]
                self.positions = torch.complex(*halves)
            else:
                self.positions = model.positions.weight.float()

    def stream(self, rows: int) -> Tensor:
        """A residual stream to be filled: (N, D), for RMSNorm with one more column of sqrt(D * eps).

        The length of such a row is sqrt(sum of squares + D * eps), RMSNorm's divisor times
        sqrt(D), which is one operation instead of four.
        """
        D = self.config.hidden_size
        if not self.rms:
            return self.embed.new_empty(rows, D)
        return self.embed.new_full((rows, D + 1), math.sqrt(D * self.config.norm_eps))

    def normalise(self, stream: Tensor, lengths_N1: Tensor, out_ND: Tensor) -> Tensor:
        """The norm without what the weights took over: scale, shift, RMSNorm's factor sqrt(D)."""
        if not self.rms:
            return F.layer_norm(stream, stream.shape[1:], None, None, self.config.norm_eps)
        torch.linalg.vector_norm(stream, dim=1, keepdim=True, out=lengths_N1)
        return torch.div(stream[:, :-1], lengths_N1, out=out_ND)

    def activate(self, up: Tensor, out_NI: Tensor) -> Tensor:
        """The nonlinearity of the MLP, (N, 2 I) or (N, I) to (N, I). Overwrites its input."""
        if not self.gated:
            return F.gelu(up, approximate="tanh")
        gate, value = up.chunk(2, dim=1)
        return torch.mul(F.silu(gate, inplace=True), value, out=out_NI)

    def _fold(self, norm: nn.Module, linear: nn.Linear) -> Affine:
        """The product behind a norm, with the norm's scale and shift multiplied in."""
        matrix, scale, shift = linear.weight.float(), norm.get_parameter("weight").float(), getattr(norm, "bias", None)
        if self.rms:
            scale = scale * math.sqrt(self.config.hidden_size)
        bias = None if linear.bias is None else linear.bias.float()
        if shift is not None:
            bias = matrix @ shift.float() + (0 if bias is None else bias)
        return Affine((matrix * scale).t().contiguous(), bias)

    def _block(self, block: Block) -> Layer:
        def plain(linear: nn.Linear) -> Affine:
            return Affine(linear.weight.float().t().contiguous(), None if linear.bias is None else linear.bias.float())

        return Layer(
            qkv=self._queries_scaled(self._fold(block.attention_norm, block.attention.qkv)),
            out=plain(block.attention.out),
            up=self._fold(block.mlp_norm, block.mlp.up),
            down=plain(block.mlp.down),
        )

    def _queries_scaled(self, qkv: Affine) -> Affine:
        """Attention's 1/sqrt(C) goes to the queries; channels that turn together become neighbours.

        So a pair is one complex number and its rotation one product. Queries and keys are
        permuted alike, which leaves their products as they are.
        """
        H, K, C = self.config.num_attention_heads, self.config.num_key_value_heads, self.config.head_dim
        scale = torch.ones(H + 2 * K, 1, device=self.embed.device)
        scale[:H] = C**-0.5
        order = torch.arange((H + 2 * K) * C, device=self.embed.device).view(H + 2 * K, C)
        if self.rotary:
            order[: H + K] = order[: H + K].view(H + K, 2, C // 2).mT.reshape(H + K, C)
        columns, scales = order.flatten(), scale.expand(-1, C).flatten()
        bias = None if qkv.bias is None else qkv.bias[columns] * scales
        return Affine(qkv.weight[:, columns] * scales, bias)


def pairs(channels: Tensor) -> Tensor:
    """Neighbouring channels (..., C) seen as complex numbers (..., C / 2)."""
    return torch.view_as_complex(channels.view(*channels.shape[:-1], -1, 2))
