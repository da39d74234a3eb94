"""The model as the engine runs it: many prompts at once, then one token a slot a step.

It computes what models/transformer.py computes, from prepared weights, with every buffer and
view of a step made beforehand. A sequence lies in its slot without holes, position p at index p,
so ragged rows need no padding; a step looks as far as the longest of them reaches.

Shapes: L layers, S slots in use, P prompts, T positions, R reach, D hidden size, H query heads,
K key/value heads, G = H / K, C channels of a head, V vocabulary.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from preceptor.generation.prepared import Prepared
from preceptor.models.transformer import Transformer

_REACH_STEP = 16  # the reach grows in such steps, so that the views of a step serve for several
_PREFILL_TOKENS = 1024  # computed at a time: the activations should stay in the CPU's cache


class Prefix(NamedTuple):
    """Keys and values of prompts; what lies behind the end of a shorter one is never looked at."""

    keys: Tensor  # (L, P, K, C, T)
    values: Tensor  # (L, P, K, T, C)


class _Step(NamedTuple):
    """The buffers of a step, seen in every way it needs; made for one S and R."""

    stream: Tensor  # see Prepared.stream
    x: Tensor  # (S, D) of it
    lengths: Tensor  # (S, 1)
    normed: Tensor  # (S, D)
    qkv: Tensor  # (S, (H + 2 K) C)
    q_made: Tensor  # (S, H, C) in it; with rotary positions complex, C / 2
    k_made: Tensor  # (S, K, C) in it; likewise
    k: Tensor  # (S, K, C) in it
    v: Tensor  # (S, K, C) in it
    q: Tensor  # as q_made, but contiguous
    q_rows: Tensor  # (S K, G, C), the same numbers
    scores_rows: Tensor  # (S K, G, R)
    scores: Tensor  # (S, H, R), the same
    probs_rows: Tensor  # (S K, G, R)
    y_rows: Tensor  # (S K, G, C)
    y: Tensor  # (S, H C), the same
    up: Tensor  # (S, I or 2 I)
    act: Tensor  # (S, I)
    logits: Tensor  # (S, V)
    slots: Tensor  # (S,) int64: 0, 1, ...
    value_starts: Tensor  # (S, K) int64: where a head's values begin in value_flat
    key_slots: list[Tensor]  # a layer: (S, K, C, capacity)
    value_flat: list[Tensor]  # (all slots * K * capacity, C)
    key_rows: list[Tensor]  # (S K, C, R)
    value_rows: list[Tensor]  # (S K, R, C)


class Decoder:
    """A model with the keys and values of ``slots`` sequences of at most ``capacity`` tokens."""

    def __init__(self, model: Transformer, slots: int, capacity: int, pad_id: int):
        self.config, self.pad_id = model.config, pad_id
        self.device = model.embed.weight.device
        self.capacity = -(-capacity // _REACH_STEP) * _REACH_STEP
        self._model = Prepared(model)
        L, K, C = self.config.num_hidden_layers, self.config.num_key_value_heads, self.config.head_dim
        new = self._model.embed.new_zeros
        # Keys lie channel by channel, so that their product with a query reads along them.
        self._keys, self._values = new(L, slots, K, C, self.capacity), new(L, slots, K, self.capacity, C)
        self._columns = torch.arange(self.capacity, device=self.device)
        self._buffers: _Step | None = None

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Prefix:
        """Keys and values of whole prompts."""
        L, K, C = self.config.num_hidden_layers, self.config.num_key_value_heads, self.config.head_dim
        P, T = len(prompts), max(map(len, prompts))
        new = self._model.embed.new_empty
        prefix = Prefix(new(L, P, K, C, T), new(L, P, K, T, C))
        padded = [[*prompt, *[self.pad_id] * (T - len(prompt))] for prompt in prompts]
        ids_PT = torch.tensor(padded, dtype=torch.int64, device=self.device)
        rows = max(1, _PREFILL_TOKENS // max(T, 1))
        for start in range(0, P if T else 0, rows):
            part = slice(start, start + rows)
            self._prefill(ids_PT[part], prefix.keys[:, part], prefix.values[:, part])
        return prefix

    def _prefill(self, ids_PT: Tensor, keys: Tensor, values: Tensor) -> None:
        """One causal pass over right-padded prompts: real tokens never see the padding behind them."""
        config, model, (P, T) = self.config, self._model, ids_PT.shape
        D, H, K, C = config.hidden_size, config.num_attention_heads, config.num_key_value_heads, config.head_dim
        stream, new = model.stream(P * T), model.embed.new_empty
        x, normed, lengths = stream[:, :D], new(P * T, D), new(P * T, 1)
        qkv, act = new(P * T, (H + 2 * K) * C), new(P * T, config.intermediate_size)
        up = new(P * T, (1 + model.gated) * config.intermediate_size)
        places = model.positions[:T]
        x.copy_(F.embedding(ids_PT, model.embed).add_(0 if model.rotary else places).view(P * T, D))
        for index, layer in enumerate(model.layers):
            layer.qkv.into(qkv, model.normalise(stream, lengths, normed))
            qk, v = qkv.view(P, T, H + 2 * K, C).split([H + K, K], dim=2)
            if model.rotary:
                torch.view_as_complex(qk.unflatten(-1, (-1, 2))).mul_(places[:, None])
            q, k = qk.split([H, K], dim=2)
            keys[index], values[index] = k.permute(0, 2, 3, 1), v.transpose(1, 2)
            if index + 1 == config.num_hidden_layers:
                return  # what the last layer makes of a prompt, nobody asks
            q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0, enable_gqa=K < H)
            layer.out.onto(x, y.transpose(1, 2).reshape(P * T, H * C))
            layer.up.into(up, model.normalise(stream, lengths, normed))
            layer.down.onto(x, model.activate(up, act))

    def load(self, prefix: Prefix, rows: Sequence[int], first: int) -> None:
        """Copy these rows of a prefill into the slots ``first``, ``first + 1``, ..."""
        slots, T = slice(first, first + len(rows)), prefix.values.shape[3]
        index = torch.tensor(rows, device=self.device)
        self._keys[:, slots, ..., :T] = prefix.keys.index_select(1, index)
        self._values[:, slots, :, :T] = prefix.values.index_select(1, index)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy one slot's first ``length`` positions over another slot."""
        self._keys[:, target, ..., :length] = self._keys[:, source, ..., :length]
        self._values[:, target, :, :length] = self._values[:, source, :, :length]

    def step(self, tokens_S: Tensor, positions_S: Tensor, reach: int) -> Tensor:
        """Logits (S, V) after the next token of the first S slots, each at its own position.

        ``reach`` is more than every position. The caller may overwrite the logits.
        """
        model, b = self._model, self._step_buffers(len(tokens_S), reach)
        ahead_SR = self._columns[: b.scores.shape[2]] > positions_S[:, None]
        bias_SR = torch.zeros_like(ahead_SR, dtype=b.x.dtype).masked_fill_(ahead_SR, -math.inf)
        value_places = b.value_starts + positions_S[:, None]
        places = model.positions.index_select(0, positions_S)
        b.x.copy_(model.embed.index_select(0, tokens_S))
        if not model.rotary:
            b.x.add_(places)
        for index, layer in enumerate(model.layers):
            layer.qkv.into(b.qkv, model.normalise(b.stream, b.lengths, b.normed))
            if model.rotary:
                torch.mul(b.q_made, places[:, None], out=b.q)
                b.k_made.mul_(places[:, None])
            else:
                b.q.copy_(b.q_made)
            b.key_slots[index][b.slots, :, :, positions_S] = b.k
            b.value_flat[index].index_put_((value_places,), b.v)
            torch.bmm(b.q_rows, b.key_rows[index], out=b.scores_rows)
            b.scores.add_(bias_SR[:, None])
            torch.softmax(b.scores_rows, dim=-1, out=b.probs_rows)
            torch.bmm(b.probs_rows, b.value_rows[index], out=b.y_rows)
            layer.out.onto(b.x, b.y)
            layer.up.into(b.up, model.normalise(b.stream, b.lengths, b.normed))
            layer.down.onto(b.x, model.activate(b.up, b.act))
        return model.head.into(b.logits, model.normalise(b.stream, b.lengths, b.normed))

    def _step_buffers(self, S: int, reach: int) -> _Step:
        """The buffers for a step; those of the last step where they fit."""
        R = min(-(-reach // _REACH_STEP) * _REACH_STEP, self.capacity)
        if self._buffers is not None and self._buffers.scores.shape[::2] == (S, R):
            return self._buffers
        config, model, new = self.config, self._model, self._model.embed.new_empty
        H, K, C = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        stream, qkv, q, y = model.stream(S), new(S, (H + 2 * K) * C), new(S, H, C), new(S, H * C)
        q_made, k, v = qkv.view(S, H + 2 * K, C).split([H, K, K], dim=1)
        q_rows, k_made = q.view(S * K, H // K, C), k
        if model.rotary:
            q_made, k_made, q = (torch.view_as_complex(t.unflatten(-1, (-1, 2))) for t in (q_made, k, q))
        scores = new(S, H, R)
        slots = torch.arange(S, device=self.device)
        heads = torch.arange(self._keys.shape[1] * K, device=self.device).view(-1, K)
        self._buffers = _Step(
            stream=stream, x=stream[:, : config.hidden_size], lengths=new(S, 1), normed=new(S, config.hidden_size),
            qkv=qkv, q_made=q_made, k_made=k_made, k=k, v=v, q=q, q_rows=q_rows,
            scores_rows=scores.view(S * K, H // K, R), scores=scores, probs_rows=new(S * K, H // K, R),
            y_rows=y.view(S * K, H // K, C), y=y,
            up=new(S, (1 + model.gated) * config.intermediate_size), act=new(S, config.intermediate_size),
            logits=new(S, config.vocab_size), slots=slots, value_starts=heads[:S] * self.capacity,
            key_slots=[keys[:S] for keys in self._keys],
            value_flat=[values.view(-1, C) for values in self._values],
            key_rows=[keys[:S].flatten(0, 1)[..., :R] for keys in self._keys],
            value_rows=[values[:S].flatten(0, 1)[:, :R] for values in self._values],
        )  # fmt: skip
        return self._buffers
