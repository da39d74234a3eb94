"""The model as the engine runs it: many prompts at once, then one token a slot a step.

It computes what models/transformer.py computes, from prepared weights, with every buffer and
view of a step made beforehand. A sequence lies in its slot without holes, position p at index p,
so ragged rows need no padding; a step looks as far as the longest of them reaches.

What a step of a small model waits for is the memory that holds keys and values. So they are
written in long pieces and read in order: the key/value heads of a token lie side by side in
bundles of up to 128 numbers, and the queries of a bundle are laid on the diagonal of a matrix
that is zero elsewhere, so that one product scores all of its heads.

Shapes: L layers, S slots in use, P prompts, T positions, R reach, D hidden size, H query heads,
K key/value heads, C channels of a head, U bundles of B = K / U heads, G = H / K, V vocabulary.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from preceptor.generation.prepared import Prepared, Rows, pairs
from preceptor.models.masks import window_mask
from preceptor.models.transformer import Transformer

_BUNDLE_WIDTH = 128  # numbers; wider ones waste arithmetic on zeros
_REACH_STEP = 4  # the reach grows in such steps, so that the views of a step serve for several
_PREFILL_TOKENS = 1024  # computed at a time: the activations should stay in the CPU's cache


class _Step(NamedTuple):
    """The buffers of a step, seen in every way it needs; made for one S and R."""

    rows: Rows
    qkv: Tensor  # (S, (H + 2 K) C)
    qk_made: Tensor  # (S, H + K, C) in it
    q_made: Tensor  # (S, U, B, G, C) in it; with rotary positions complex, C / 2
    k_made: Tensor  # (S, K, C) in it; likewise
    kv: Tensor  # (S, 2, U, B C) in it
    q: Tensor  # (S, U, B, G, C), the diagonal of q_rows; complex as q_made
    q_rows: Tensor  # (S U, B G, B C)
    scores: Tensor  # (S U, B G, R)
    scores_of: Tensor  # (S, H, R), the same
    probs: Tensor  # (S U, B G, R)
    y_rows: Tensor  # (S U, B G, B C)
    y_made: Tensor  # (S, U, B, G, C), the diagonal of y_rows
    y: Tensor  # (S, U, B, G, C)
    y_flat: Tensor  # (S, H C), the same
    logits: Tensor  # (S, V)
    starts: Tensor  # (S, 2, U) int64: where the positions of a slot begin in cache_rows
    cache_rows: list[Tensor]  # a layer: (2 * slots * U * capacity, B C)
    keys: list[Tensor]  # (S U, B C, R)
    values: list[Tensor]  # (S U, R, B C)


class Decoder:
    """A model with the keys and values of ``slots`` sequences of at most ``capacity`` tokens."""

    def __init__(self, model: Transformer, slots: int, capacity: int, pad_id: int):
        self.config, self.pad_id = model.config, pad_id
        self.device = model.embed.weight.device
        self._model = Prepared(model, slots)
        K, C = self.config.num_key_value_heads, self.config.head_dim
        fitting = (b for b in range(1, K + 1) if K % b == 0 and (b == 1 or b * C <= _BUNDLE_WIDTH))
        self._bundle = max(fitting)
        self._cache = self._new_cache(slots, capacity)
        self._columns = torch.arange(capacity, device=self.device)
        self._buffers: _Step | None = None

    def _new_cache(self, slots: int, capacity: int) -> Tensor:
        """(L, 2, slots, U, capacity, B C): keys, then values. Zeros, since 0 * NaN would not be 0.

        NumPy's zeros take no memory before they are touched, so an ample cache costs nothing.
        """
        K, C, B = self.config.num_key_value_heads, self.config.head_dim, self._bundle
        zeros = np.zeros((self.config.num_hidden_layers, 2, slots, K // B, capacity, B * C), dtype=np.float32)
        return torch.from_numpy(zeros).to(self.device)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Keys and values of whole prompts, (L, 2, P, U, T, B C).

        What lies behind the end of a shorter prompt is never looked at.
        """
        P, T = len(prompts), max(map(len, prompts))
        prefix = self._new_cache(P, T)
        padded = [[*prompt, *[self.pad_id] * (T - len(prompt))] for prompt in prompts]
        ids_PT = torch.tensor(padded, dtype=torch.int64, device=self.device)
        rows = max(1, _PREFILL_TOKENS // max(T, 1))
        for start in range(0, P if T else 0, rows):
            part = slice(start, start + rows)
            self._prefill(ids_PT[part], prefix[:, :, part])
        return prefix

    def _prefill(self, ids_PT: Tensor, cache: Tensor) -> None:
        """One causal pass over right-padded prompts: real tokens never see the padding behind them."""
        config, model, (P, T) = self.config, self._model, ids_PT.shape
        H, K, C = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        rows, qkv = model.rows(P * T), model.embed.new_empty(P * T, (H + 2 * K) * C)
        places, near_places = model.positions[:T], model.near_positions[:T]
        x = model.embedded(ids_PT)
        rows.x.copy_((x if model.rotary else x.add_(places)).view(P * T, -1))
        near_mask = None
        if config.sliding_window is not None and config.sliding_window < T:
            near_mask = window_mask(self._columns[None, :T], config.sliding_window, None, causal=True)
        for layer, layer_cache in zip(model.layers, cache, strict=True):
            layer.qkv.into(qkv, model.normalise(rows.stream, rows.lengths, rows.normed))
            heads = qkv.view(P, T, H + 2 * K, C)
            if layer.qk_scale is not None:
                model.normalise_heads(heads[:, :, : H + K], layer.qk_scale)
            if model.rotary:
                pairs(heads[:, :, : H + K]).mul_((near_places if layer.near else places)[:, None])
            kv = qkv[:, H * C :].view(P, T, 2, K // self._bundle, self._bundle * C)
            layer_cache.copy_(kv.permute(2, 0, 3, 1, 4))
            if layer is model.layers[-1]:
                return  # what the last layer makes of a prompt, nobody asks
            q, k, v = heads.transpose(1, 2).tensor_split((H, H + K), dim=1)
            mask = near_mask if layer.near else None
            y = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, scale=1.0, enable_gqa=K < H
            )
            model.finish(layer, rows, y.transpose(1, 2).reshape(P * T, H * C))

    def load(self, prefix: Tensor, rows: Sequence[int], slots: Sequence[int]) -> None:
        """Copy rows of a prefill into slots."""
        source = prefix[:, :, torch.tensor(rows, device=self.device)]
        target = self._cache[..., : prefix.shape[4], :]
        target.index_copy_(2, torch.tensor(slots, device=self.device), source)

    def move(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """Copy the first ``length`` positions of slots over other slots."""
        cache = self._cache[..., :length, :]
        moved = cache[:, :, torch.tensor(sources, device=self.device)]
        cache.index_copy_(2, torch.tensor(targets, device=self.device), moved)

    def step(self, tokens_S: Tensor, positions_S: Tensor, reach: int) -> Tensor:
        """Logits (S, V) after the next token of the first S slots, each at its own position.

        ``reach`` is more than every position. The logits are overwritten by the next step, and
        by the caller if he likes.
        """
        model, b = self._model, self._step_buffers(len(tokens_S), reach)
        rows, bias_S1R = b.rows, self._bias(positions_S, b, window=None)
        window = self.config.sliding_window
        near_bias_S1R = bias_S1R if window is None or reach <= window else self._bias(positions_S, b, window)
        written = (b.starts + positions_S[:, None, None],)
        places = near_places = model.positions.index_select(0, positions_S)
        if model.near_positions is not model.positions:
            near_places = model.near_positions.index_select(0, positions_S)
        turns, near_turns = ((at[:, None], at[:, None, None, None]) for at in (places, near_places))
        x = model.embedded(tokens_S)
        rows.x.copy_(x if model.rotary else x.add_(places))
        for index, layer in enumerate(model.layers):
            layer.qkv.into(b.qkv, model.normalise(rows.stream, rows.lengths, rows.normed))
            if layer.qk_scale is not None:
                model.normalise_heads(b.qk_made, layer.qk_scale)
            if model.rotary:
                k_turns, q_turns = near_turns if layer.near else turns
                torch.mul(b.q_made, q_turns, out=b.q)
                b.k_made.mul_(k_turns)
            else:
                b.q.copy_(b.q_made)
            b.cache_rows[index].index_put_(written, b.kv)
            torch.bmm(b.q_rows, b.keys[index], out=b.scores)
            b.scores_of.add_(near_bias_S1R if layer.near else bias_S1R)
            torch.softmax(b.scores, dim=-1, out=b.probs)
            torch.bmm(b.probs, b.values[index], out=b.y_rows)
            b.y.copy_(b.y_made)
            model.finish(layer, rows, b.y_flat)
        return model.head.of(b.logits, model.normalise(rows.stream, rows.lengths, rows.normed))

    def _bias(self, positions_S: Tensor, b: _Step, window: int | None) -> Tensor:
        """What is added to the scores (S, 1, R): minus infinity where a row may not look."""
        columns_R, positions_S1 = self._columns[: b.scores.shape[2]], positions_S[:, None]
        hidden_SR = columns_R > positions_S1
        if window is not None:
            hidden_SR |= columns_R <= positions_S1 - window
        return torch.zeros_like(hidden_SR, dtype=b.scores.dtype).masked_fill_(hidden_SR, -math.inf)[:, None]

    def _step_buffers(self, S: int, reach: int) -> _Step:
        """The buffers for a step; those of the last step where they fit."""
        _, _, slots, U, capacity, width = self._cache.shape
        R = min(-(-reach // _REACH_STEP) * _REACH_STEP, capacity)
        if self._buffers is not None and self._buffers.scores_of.shape[::2] == (S, R):
            return self._buffers
        config, model, new = self.config, self._model, self._model.embed.new_empty
        H, K, C, B = config.num_attention_heads, config.num_key_value_heads, config.head_dim, self._bundle
        G, qkv = H // K, new(S, (H + 2 * K) * C)
        q_made, k_made = qkv[:, : H * C].view(S, U, B, G, C), qkv[:, H * C : -K * C].view(S, K, C)
        q_rows, y_rows = new(S * U, B * G, width).zero_(), new(S * U, B * G, width)
        q, y_made = (t.view(S, U, B, G, B, C).diagonal(0, 2, 4).movedim(4, 2) for t in (q_rows, y_rows))
        if model.rotary:
            q_made, k_made, q = map(pairs, (q_made, k_made, q))
        scores, y = new(S * U, B * G, R), new(S, U, B, G, C)
        starts = torch.arange(2 * slots * U, device=self.device).view(2, slots, U).transpose(0, 1) * capacity
        self._buffers = _Step(
            rows=model.rows(S), qkv=qkv, qk_made=qkv[:, : (H + K) * C].view(S, H + K, C),
            q_made=q_made, k_made=k_made, kv=qkv[:, H * C :].view(S, 2, U, width), q=q, q_rows=q_rows,
            scores=scores, scores_of=scores.view(S, H, R), probs=torch.empty_like(scores),
            y_rows=y_rows, y_made=y_made, y=y, y_flat=y.view(S, H * C),
            logits=new(S, config.vocab_size), starts=starts[:S].contiguous(),
            cache_rows=[layer.view(-1, width) for layer in self._cache],
            keys=[keys[:S].flatten(0, 1)[:, :R].mT for keys in self._cache[:, 0]],
            values=[values[:S].flatten(0, 1)[:, :R] for values in self._cache[:, 1]],
        )  # fmt: skip
        return self._buffers
