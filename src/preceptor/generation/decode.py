"""The model as the engine runs it: many prompts at once, then one token a slot a step.

A small model's decoding step is short of arithmetic and long of overhead, so this is the same
decoder as models/transformer.py with everything that can be prepared prepared: norm scales and
the attention scale are multiplied into the matrices that follow, matrices lie the way the
product reads them, and every buffer and view exists before the step. Weights are copied: build a
new one when the model has learned.

Shapes: L layers, S slots, P prompts, T positions, R reach of the longest slot, N rows of any
batch, D hidden size, H query heads, K key/value heads, G = H / K, C channels of a head.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preceptor.models.config import TransformerConfig
from preceptor.models.transformer import Block, Transformer

_REACH_STEP = 16  # the reach grows in such steps, so that views live for several tokens
_PREFILL_TOKENS = 1024  # computed at a time: activations should stay in the cache of the CPU


class _Affine(NamedTuple):
    weight: Tensor  # (in, out)
    bias: Tensor | None

    def into(self, out: Tensor, x: Tensor) -> None:
        """out = x @ weight + bias."""
        if self.bias is None:
            torch.mm(x, self.weight, out=out)
        else:
            torch.addmm(self.bias, x, self.weight, out=out)

    def onto(self, total: Tensor, x: Tensor) -> None:
        """total += x @ weight + bias."""
        total.addmm_(x, self.weight)
        if self.bias is not None:
            total += self.bias


class _Layer(NamedTuple):
    qkv: _Affine
    out: _Affine
    up: _Affine
    down: _Affine


class Prefix(NamedTuple):
    """Keys and values of prefilled prompts; what lies behind a shorter prompt is never looked at."""

    keys: Tensor  # (L, P, K, C, T)
    values: Tensor  # (L, P, K, T, C)


@dataclass(frozen=True)
class _Workspace:
    """Buffers of one batch size and reach, as views that the step uses as they are."""

    stream: Tensor  # (N, D + 1) for RMSNorm, else (N, D): the residual stream, see Decoder._stream
    x: Tensor  # (N, D) of it
    normed: Tensor  # (N, D)
    norms: Tensor  # (N, 1)
    qkv: Tensor  # (N, (H + 2 K) C)
    q_in: Tensor  # (N, H, C), views of qkv
    k_in: Tensor  # (N, K, C)
    v_in: Tensor
    q: Tensor  # (N, H, C), contiguous
    q_rows: Tensor  # (N K, G, C) of it
    scores: Tensor  # (N K, G, R)
    scores_by_slot: Tensor  # (N, H, R) of it
    probs: Tensor
    y_rows: Tensor  # (N K, G, C)
    y: Tensor  # (N, H C) of it
    up: Tensor  # (N, I or 2 I)
    act: Tensor  # (N, I)
    slots: Tensor  # (N, 1) int64, 0, 1, ..
    heads: Tensor  # (1, K)
    keys: list[Tensor]  # a layer: (N, K, C, capacity)
    values: list[Tensor]  # (N, K, capacity, C)
    key_rows: list[Tensor]  # (N K, C, R) of them
    value_rows: list[Tensor]  # (N K, R, C)


class Decoder:
    """A model with the keys and values of ``slots`` sequences of at most ``capacity`` tokens."""

    def __init__(self, model: Transformer, slots: int, capacity: int, pad_id: int):
        config = self.config = model.config
        self.pad_id, self.device = pad_id, model.embed.weight.device
        self.capacity = -(-capacity // _REACH_STEP) * _REACH_STEP
        self._rms, self._rotary, self._gated = config.norm == "rmsnorm", config.position == "rotary", config.mlp == "swiglu"
        with torch.no_grad():
            self._embed = model.embed.weight.float()
            blocks = [block for block in model.blocks if isinstance(block, Block)]
            self._layers = [self._fold_block(block) for block in blocks]
            self._head = self._fold(model.norm, model.head)
            self._positions = (
                torch.complex(model.cos.float(), model.sin.float()) if self._rotary else model.positions.weight.float()
            )
        shape = (config.num_hidden_layers, slots, config.num_key_value_heads)
        # Keys lie channel first: a query times such a matrix reads whole rows of it.
        self._keys = self._embed.new_zeros(*shape, config.head_dim, self.capacity)
        self._values = self._embed.new_zeros(*shape, self.capacity, config.head_dim)
        self._columns = torch.arange(self.capacity, device=self.device)
        self._workspace: _Workspace | None = None

    # Weights

    def _fold(self, norm: nn.Module, linear: nn.Linear) -> _Affine:
        """The product behind a norm, with the norm's scale and shift multiplied in."""
        scale, shift = norm.weight, getattr(norm, "bias", None)
        weight, bias = linear.weight.float().t() * scale.float()[:, None], linear.bias
        if self._rms:
            weight = weight * math.sqrt(self.config.hidden_size)  # see _normalise
        if shift is not None:
            moved = linear.weight.float() @ shift.float()
            bias = moved if bias is None else bias.float() + moved
        return _Affine(weight.contiguous(), bias)

    def _fold_block(self, block: Block) -> _Layer:
        config = self.config
        qkv = self._fold(block.attention_norm, block.attention.qkv)
        # Scores are divided by sqrt(C): let the queries be.
        width = config.num_attention_heads * config.head_dim
        scale = torch.ones(qkv.weight.shape[1], device=self.device)
        scale[:width] = config.head_dim**-0.5
        weight, bias = qkv.weight * scale, None if qkv.bias is None else qkv.bias * scale
        if self._rotary:
            # The two channels that turn together become neighbours: one complex number.
            # Queries and keys are permuted alike, which no product of them notices.
            order = torch.arange(weight.shape[1], device=self.device).view(-1, 2, config.head_dim // 2).mT.flatten(1)
            order[config.num_attention_heads + config.num_key_value_heads :] = torch.arange(
                width + config.num_key_value_heads * config.head_dim, weight.shape[1], device=self.device
            ).view(-1, config.head_dim)
            weight = weight[:, order.flatten()]
            bias = None if bias is None else bias[order.flatten()]

        def plain(linear: nn.Linear) -> _Affine:
            return _Affine(linear.weight.float().t().contiguous(), linear.bias)

        return _Layer(
            _Affine(weight, bias), plain(block.attention.out), self._fold(block.mlp_norm, block.mlp.up), plain(block.mlp.down)
        )

    # Parts of a pass

    def _stream(self, rows: int) -> Tensor:
        """An empty residual stream; for RMSNorm with one more column that holds sqrt(D * eps).

        The length of a row with that column is sqrt(sum of squares + D eps), that is RMSNorm's
        divisor times sqrt(D), in a single operation.
        """
        D = self.config.hidden_size
        if not self._rms:
            return self._embed.new_empty(rows, D)
        return self._embed.new_full((rows, D + 1), math.sqrt(D * self.config.norm_eps))

    def _normalise(self, stream: Tensor, norms: Tensor, out: Tensor) -> Tensor:
        """The norm without scale and shift, and for RMSNorm divided by sqrt(D): the weights make up for it."""
        if not self._rms:
            return F.layer_norm(stream, stream.shape[1:], None, None, self.config.norm_eps)
        torch.linalg.vector_norm(stream, dim=1, keepdim=True, out=norms)
        return torch.div(stream[:, :-1], norms, out=out)

    def _activate(self, up: Tensor, out: Tensor) -> Tensor:
        if not self._gated:
            return F.gelu(up, approximate="tanh")
        width = self.config.intermediate_size
        return torch.mul(F.silu(up[:, :width]), up[:, width:], out=out)

    # Prompts

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Prefix:
        """Keys and values of whole prompts, each computed once."""
        config, longest = self.config, max(len(prompt) for prompt in prompts)
        shape = (config.num_hidden_layers, len(prompts), config.num_key_value_heads)
        prefix = Prefix(
            self._embed.new_empty(*shape, config.head_dim, longest),
            self._embed.new_empty(*shape, longest, config.head_dim),
        )
        if not longest:
            return prefix
        padded = [list(prompt) + [self.pad_id] * (longest - len(prompt)) for prompt in prompts]
        ids_PT = torch.tensor(padded, device=self.device)
        rows = max(1, _PREFILL_TOKENS // longest)
        for start in range(0, len(prompts), rows):
            part = slice(start, start + rows)
            self._prefill(ids_PT[part], prefix.keys[:, part], prefix.values[:, part])
        return prefix

    def _prefill(self, ids_PT: Tensor, keys: Tensor, values: Tensor) -> None:
        """One pass over right-padded prompts; real tokens never see the padding behind them."""
        config, (P, T) = self.config, ids_PT.shape
        H, K, C = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        stream, new = self._stream(P * T), self._embed.new_empty
        x, normed, norms = stream[:, : config.hidden_size], new(P * T, config.hidden_size), new(P * T, 1)
        qkv, up, act = new(P * T, (H + 2 * K) * C), new(P * T, self._layers[0].up.weight.shape[1]), new(P * T, config.intermediate_size)
        x.copy_(F.embedding(ids_PT.flatten(), self._embed))
        if not self._rotary:
            x.view(P, T, -1).add_(self._positions[:T])
        for index, layer in enumerate(self._layers):
            layer.qkv.into(qkv, self._normalise(stream, norms, normed))
            qk, v = qkv.view(P, T, H + 2 * K, C).split([H + K, K], dim=2)
            if self._rotary:
                torch.view_as_complex(qk.unflatten(-1, (-1, 2))).mul_(self._positions[:T, None])
            q, k = qk.split([H, K], dim=2)
            keys[index] = k.permute(0, 2, 3, 1)
            values[index] = v.transpose(1, 2)
            if index + 1 == len(self._layers):
                return  # what the last layer makes of a prompt is not asked for
            y = F.scaled_dot_product_attention(
                q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True, scale=1.0, enable_gqa=K < H
            )
            layer.out.onto(x, y.transpose(1, 2).reshape(P * T, H * C))
            layer.up.into(up, self._normalise(stream, norms, normed))
            layer.down.onto(x, self._activate(up, act))

    # Slots

    def load(self, prefix: Prefix, rows: Sequence[int], first: int) -> None:
        """Copy these rows of a prefill into slots ``first``, ``first + 1``, ..."""
        slots, length = slice(first, first + len(rows)), prefix.values.shape[3]
        index = torch.tensor(rows, device=self.device)
        self._keys[:, slots, :, :, :length] = prefix.keys.index_select(1, index)
        self._values[:, slots, :, :length] = prefix.values.index_select(1, index)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy one slot's first ``length`` positions over another slot."""
        self._keys[:, target, :, :, :length] = self._keys[:, source, :, :, :length]
        self._values[:, target, :, :length] = self._values[:, source, :, :length]

    # Steps

    def step(self, tokens_S: Tensor, positions_S: Tensor, reach: int) -> Tensor:
        """Logits (S, V) after the next token of the first S slots, each at its own position.

        ``reach`` is more than every position. The logits are the caller's to overwrite.
        """
        w = self._prepare(len(tokens_S), min(-(-reach // _REACH_STEP) * _REACH_STEP, self.capacity))
        hidden = w.scores.shape[2]
        ahead_SR = self._columns[:hidden] > positions_S[:, None]
        bias_S1R = torch.zeros_like(ahead_SR, dtype=w.x.dtype).masked_fill_(ahead_SR, -math.inf)[:, None]
        places, turns = self._positions.index_select(0, positions_S), None
        w.x.copy_(self._embed.index_select(0, tokens_S))
        if self._rotary:
            turns = places[:, None]  # (S, 1, C / 2)
        else:
            w.x += places
        for index, layer in enumerate(self._layers):
            layer.qkv.into(w.qkv, self._normalise(w.stream, w.norms, w.normed))
            self._attend(w, index, turns, positions_S, bias_S1R)
            layer.out.onto(w.x, w.y)
            layer.up.into(w.up, self._normalise(w.stream, w.norms, w.normed))
            layer.down.onto(w.x, self._activate(w.up, w.act))
        normed = self._normalise(w.stream, w.norms, w.normed)
        return normed @ self._head.weight if self._head.bias is None else torch.addmm(self._head.bias, normed, self._head.weight)

    def _attend(self, w: _Workspace, layer: int, turns: Tensor | None, positions_S: Tensor, bias_S1R: Tensor) -> None:
        """Write the new keys and values, then y = softmax(q k + bias) v."""
        if turns is None:
            w.q.copy_(w.q_in)
        else:
            torch.mul(w.q_in, turns, out=w.q)
            w.k_in.mul_(turns)
        w.keys[layer][w.slots, w.heads, :, positions_S[:, None]] = w.k_in
        w.values[layer][w.slots, w.heads, positions_S[:, None]] = w.v_in
        torch.bmm(w.q_rows, w.key_rows[layer], out=w.scores)
        w.scores_by_slot.add_(bias_S1R)
        torch.softmax(w.scores, dim=-1, out=w.probs)
        torch.bmm(w.probs, w.value_rows[layer], out=w.y_rows)
