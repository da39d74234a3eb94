"""A decoder's weights, prepared for generating.

A small model's decoding step is short of arithmetic and long of overhead. So what can be
multiplied in advance is: the scale and shift of a norm and the scale of attention disappear in
the matrices beside them, and matrices lie the way the product reads them (products.py). The weights are
copies, adapters merged into them: prepare them anew when the model has learned.

Shapes: N rows, D hidden size, I width of the MLP, V vocabulary, H query heads, K key/value heads,
C channels of a head.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preceptor.generation.products import Product, product
from preceptor.models.linear import merged_weight
from preceptor.models.rotary import pair_channels
from preceptor.models.transformer import Block, Transformer


class Layer(NamedTuple):
    """One block."""

    qkv: Product
    out: Product
    up: Product
    down: Product
    near: bool  # looks at a window
    qk_scale: Tensor | None  # (H + K, C): of the norm of query and key heads, with its factor sqrt(C)
    out_scale: Tensor | None  # (D,): of the norm of what attention adds, with its factor sqrt(D)
    down_scale: Tensor | None  # (D,): likewise, of what the MLP adds


class Rows(NamedTuple):
    """The buffers that N rows need beside attention's."""

    stream: Tensor  # see Prepared.stream
    x: Tensor  # (N, D) of it
    lengths: Tensor  # (N, 1)
    normed: Tensor  # (N, D)
    up: Tensor  # (N, I or 2 I)
    act: Tensor  # (N, I)
    added: Tensor  # as stream; has rows only where what is added has a norm of its own


class Prepared:
    """The weights, and the few operations that stand between the products."""

    def __init__(self, model: Transformer, rows: int):
        """``rows`` is how many are usually computed at once."""
        self.config = config = model.config
        self._rows = rows
        self.rms, self.rotary, self.gated = config.norm == "rmsnorm", config.position == "rotary", config.gated
        with torch.no_grad():
            self.embed = model.embed.weight.float()
            self.layers = [
                self._block(block, layer) for layer, block in enumerate(model.blocks) if isinstance(block, Block)
            ]
            self.head = product(*self._fold(model.norm, model.head), rows)
            # A rotation is a product with cos + i sin; a learned position is added. Near layers may have their own.
            if self.rotary:
                self.positions = self.near_positions = self._rotations(model, "")
                if config.rope_local_theta is not None:
                    self.near_positions = self._rotations(model, "local")
            else:
                self.positions = self.near_positions = model.positions.weight.float()

    @staticmethod
    def _rotations(model: Transformer, layers: str) -> Tensor:
        return torch.complex(*(model.get_buffer(layers + name).float() for name in ("cos", "sin")))

    def rows(self, count: int) -> Rows:
        """Buffers for N rows."""
        D, width, new = self.config.hidden_size, self.config.intermediate_size, self.embed.new_empty
        stream = self.stream(count)
        return Rows(
            stream=stream,
            x=stream[:, :D],
            lengths=new(count, 1),
            normed=new(count, D),
            up=new(count, (1 + self.gated) * width),
            act=new(count, width),
            added=self.stream(count if self.config.post_norms else 0),
        )

    def embedded(self, tokens: Tensor) -> Tensor:
        """The input of the first layer (..., D), less learned positions. The caller's to overwrite."""
        x = F.embedding(tokens, self.embed)
        return x if self.config.embed_scale == 1 else x.mul_(self.config.embed_scale)

    def finish(self, layer: Layer, rows: Rows, y: Tensor) -> None:
        """Take a block from what attention has seen, y (N, H C), to its end: both products and the MLP."""
        if self.config.parallel_residual:
            up = layer.up.of(rows.up, self.normalise(rows.stream, rows.lengths, rows.normed))
            layer.out.onto(rows.x, y)
        else:
            self._add(layer.out, layer.out_scale, rows, y)
            up = layer.up.of(rows.up, self.normalise(rows.stream, rows.lengths, rows.normed))
        self._add(layer.down, layer.down_scale, rows, self.activate(up, rows.act))

    def _add(self, projection: Product, scale: Tensor | None, rows: Rows, x: Tensor) -> None:
        """Add a product to the stream, normalised where it has a norm of its own."""
        if scale is None:
            projection.onto(rows.x, x)
        else:
            projection.into(rows.added[:, :-1], x)
            rows.x.addcmul_(self.normalise(rows.added, rows.lengths, rows.normed), scale)

    def normalise_heads(self, heads: Tensor, scale: Tensor) -> None:
        """The norm of query and key heads (..., H + K, C), in place; see Layer.qk_scale."""
        lengths = torch.linalg.vector_norm(heads, dim=-1, keepdim=True)
        lengths.square_().add_(self.config.head_dim * self.config.norm_eps).sqrt_()
        heads.div_(lengths).mul_(scale)

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
            return F.gelu(up, approximate="none" if self.config.mlp == "gelu_exact" else "tanh")
        gate, value = up.chunk(2, dim=1)
        if self.config.mlp == "geglu":
            return torch.mul(F.gelu(gate, approximate="tanh"), value, out=out_NI)
        return torch.mul(F.silu(gate, inplace=True), value, out=out_NI)

    def _fold(self, norm: nn.Module, linear: nn.Linear) -> tuple[Tensor, Tensor | None]:
        """Weight (out, in) and bias of the product behind a norm, with the norm's scale and shift multiplied in."""
        matrix, scale, shift = (
            merged_weight(linear).float(),
            norm.get_parameter("weight").float(),
            getattr(norm, "bias", None),
        )
        if self.rms:
            scale = scale * math.sqrt(self.config.hidden_size)
        bias = None if linear.bias is None else linear.bias.float()
        if shift is not None:
            bias = matrix @ shift.float() + (0 if bias is None else bias)
        return matrix * scale, bias

    def _block(self, block: Block, layer: int) -> Layer:
        def plain(linear: nn.Linear) -> Product:
            bias = None if linear.bias is None else linear.bias.float()
            return product(merged_weight(linear).float(), bias, self._rows)

        def scale(norm: nn.Module) -> Tensor:
            return norm.get_parameter("weight").float() * math.sqrt(self.config.hidden_size)

        qkv, qk_scale = self._heads(block)
        return Layer(
            qkv=qkv,
            out=plain(block.attention.out),
            up=product(*self._fold(block.mlp_norm, block.mlp.up), self._rows),
            down=plain(block.mlp.down),
            near=self.config.window(layer) is not None,
            qk_scale=qk_scale,
            out_scale=scale(block.attention_out_norm) if self.config.post_norms else None,
            down_scale=scale(block.mlp_out_norm) if self.config.post_norms else None,
        )

    def _heads(self, block: Block) -> tuple[Product, Tensor | None]:
        """The product that makes queries, keys and values, and the scale of the norm of heads, if there is one.

        Attention's scale, usually 1/sqrt(C), goes to the queries; channels that turn together become
        neighbours. So a pair is one complex number and its rotation one product. Queries and keys are
        permuted alike, which leaves their products as they are.
        """
        config = self.config
        H, K, C = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        scale = torch.ones(H + 2 * K, C, device=self.embed.device)
        scale[:H] = C**-0.5 if config.attention_scale is None else config.attention_scale
        order = torch.arange((H + 2 * K) * C, device=self.embed.device)
        if self.rotary:
            order[: (H + K) * C] = pair_channels(H + K, C, config.rotary_dim).to(order.device)
        qk_scale = None
        if config.qk_norm:  # a norm would undo a scale before it
            weights = [block.attention.q_norm.weight.expand(H, C), block.attention.k_norm.weight.expand(K, C)]
            ordered = torch.cat(weights).float().flatten()[order[: (H + K) * C]].view(H + K, C)
            qk_scale = ordered * scale[: H + K] * math.sqrt(C)
            scale = torch.ones_like(scale)
        matrix, bias = self._fold(block.attention_norm, block.attention.qkv)
        bias = None if bias is None else bias[order] * scale.flatten()
        return product(matrix[order].mul_(scale.view(-1, 1)), bias, self._rows), qk_scale


def pairs(channels: Tensor) -> Tensor:
    """Neighbouring channels (..., C) seen as complex numbers (..., C / 2)."""
    return torch.view_as_complex(channels.view(*channels.shape[:-1], -1, 2))
