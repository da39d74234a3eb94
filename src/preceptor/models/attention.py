"""Attention: query, key, value -> dot product -> softmax -> weighted values, many heads.

Shapes: B batch rows, T positions, S cache slots, H query heads, K key/value heads, C channels of a head, D = H * C.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preceptor.models.branches import Forest
from preceptor.models.config import TransformerConfig
from preceptor.models.fused import RMSNorm, rms_norm
from preceptor.models.linear import Linear, chosen
from preceptor.models.rotary import pair_channels, rotate


@dataclass
class KVCache:
    """Keys and values of earlier positions, one row a slot, without holes.

    Position p of a slot lies at index p, whatever its neighbours hold: ragged rows need
    neither left padding nor a mask of pads. ``lengths[s]`` positions of slot s are filled.
    """

    keys: list[Tensor]  # one (S, K, capacity, C) a layer
    values: list[Tensor]
    lengths: Tensor  # (S,) int64
    _reach: int = field(default=0)

    @classmethod
    def empty(cls, config: TransformerConfig, slots: int, capacity: int, like: Tensor) -> "KVCache":
        """A cache for ``slots`` sequences of at most ``capacity`` tokens, of ``like``'s dtype and device."""
        shape = (slots, config.num_key_value_heads, capacity, config.head_dim)
        layers = range(config.num_hidden_layers)
        return cls(
            keys=[like.new_zeros(shape) for _ in layers],
            values=[like.new_zeros(shape) for _ in layers],
            lengths=torch.zeros(slots, dtype=torch.int64, device=like.device),
        )

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put (S, K, T, C) behind each slot's length; give back all of it up to the longest slot.

        Lengths move only in :meth:`advance`, after the last layer has written.
        """
        slots, _, time, _ = keys.shape
        columns = self.lengths[:, None] + torch.arange(time, device=keys.device)  # (S, T)
        rows = torch.arange(slots, device=keys.device)[:, None]
        self.keys[layer][rows, :, columns] = keys.transpose(1, 2)
        self.values[layer][rows, :, columns] = values.transpose(1, 2)
        reach = self.reach(time)
        return self.keys[layer][:, :, :reach], self.values[layer][:, :, :reach]

    def reach(self, time: int) -> int:
        """How far the longest slot reaches when ``time`` tokens are written."""
        if not self._reach:
            self._reach = int(self.lengths.max()) + time
        return self._reach

    def mask(self, time: int, window: int | None = None) -> Tensor:
        """(S, 1, time, reach) bool: which indices the new positions of each slot may look at."""
        ends = self.lengths[:, None, None] + torch.arange(1, time + 1, device=self.lengths.device)[:, None]  # (S, T, 1)
        indices = torch.arange(self.reach(time), device=ends.device)
        mask = indices < ends
        if window is not None:
            mask = mask & (indices >= ends - window)
        return mask[:, None]

    def advance(self, time: int) -> None:
        """The new positions are in: every slot is ``time`` longer."""
        self.lengths = self.lengths + time
        self._reach = 0

    def copy_rows(self, source: "KVCache", source_rows: Tensor, rows: Tensor, length: int) -> None:
        """Give ``rows`` the first ``length`` positions and the lengths of ``source``'s rows."""
        for mine, theirs in zip(self.keys + self.values, source.keys + source.values, strict=True):
            mine[rows, :, :length] = theirs[source_rows, :, :length]
        self.lengths[rows] = source.lengths[source_rows]
        self._reach = 0

    def keep_rows(self, rows: Tensor) -> None:
        """Drop every slot but ``rows``, in that order."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        self.lengths = self.lengths[rows]
        self._reach = 0


class Attention(nn.Module):
    """Multi-head attention with shared key heads ("Attention Is All You Need" 3.2; GQA, arXiv 2305.13245).

    One matrix makes queries, keys and values: a single large product is faster than three.
    """

    order: Tensor  # rows of qkv, with the channels that turn together side by side

    def __init__(self, config: TransformerConfig, layer: int):
        super().__init__()
        self.layer = layer
        self.heads, self.kv_heads, self.channels = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.rotary = config.position == "rotary"
        self.causal = config.causal
        width = self.heads * self.channels
        qkv_width = width + 2 * self.kv_heads * self.channels
        self.qkv = Linear(config.hidden_size, qkv_width, bias=config.bias or config.qkv_bias)
        self.out = Linear(width, config.hidden_size, bias=config.bias)
        self.normed = config.qk_norm
        if self.normed:
            self.q_norm = RMSNorm(self.channels, eps=config.norm_eps)
            self.k_norm = RMSNorm(self.channels, eps=config.norm_eps)
        self.eps, self.scale = config.norm_eps, config.attention_scale
        order = torch.arange(qkv_width, device="cpu")
        turned = (self.heads + self.kv_heads) * self.channels
        order[:turned] = pair_channels(self.heads + self.kv_heads, self.channels, config.rotary_dim)
        self.register_buffer("order", order, persistent=False)

    def forward(
        self,
        x_BTD: Tensor,
        turns: Tensor | None,
        mask: Tensor | Forest | None,
        cache: KVCache | None,
        rows: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D) to (B, T, D), or to (N, D) for ``rows`` (N,) of the B * T.

        ``mask`` (B, 1, T, reach): True where a query may look; None: causal or full. ``noise`` (B, T): see `Linear`.
        """
        B, T, _ = x_BTD.shape
        q, k, v = self.heads_of(x_BTD, turns, noise)
        if cache is not None:
            k, v = cache.write(self.layer, k, v)
        if isinstance(mask, Forest):
            y = mask.attend(q, k, v, self.scale)
        else:
            y = F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=mask,
                is_causal=mask is None and self.causal and T > 1,
                scale=self.scale,
                enable_gqa=self.heads != self.kv_heads,
            )
        y = y.transpose(1, 2).reshape(B, T, -1)
        return self.out(y if rows is None else y.flatten(0, 1).index_select(0, rows), noise=chosen(noise, rows))

    def heads_of(
        self, x_BTD: Tensor, turns: Tensor | None, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, C), and keys and values (B, K, T, C), normalised and turned as the config says."""
        B, T, _ = x_BTD.shape
        # What turns comes with the channels that turn together side by side.
        qkv = self.qkv(x_BTD, None if turns is None else self.order, noise)
        qkv = qkv.view(B, T, self.heads + 2 * self.kv_heads, self.channels)
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], dim=2)
        if self.normed:
            qk = self._normalise(qk, paired=turns is not None)
        if turns is not None:
            qk = rotate(qk, turns)  # queries and keys turn alike, so in one go
        q, k = qk.split([self.heads, self.kv_heads], dim=2)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, heads, T, C)
        return q, k, v

    def probabilities(self, x_BTD: Tensor, turns: Tensor | None, mask: Tensor | None, *, last: bool = False) -> Tensor:
        """(B, H, T, T): how each query (third axis) divides its attention among the keys; each row sums to 1.

        With ``last`` that of the last query alone, (B, H, 1, T). :meth:`forward` never holds them: its fused product
        goes from scores to values in tiles. Without a cache.
        """
        q, k, _ = self.heads_of(x_BTD, turns)
        if last:
            q, mask = q[:, :, -1:], None if mask is None else mask[:, :, -1:]
        k = k.repeat_interleave(self.heads // self.kv_heads, dim=1)
        scores = q @ k.transpose(-1, -2) * (self.channels**-0.5 if self.scale is None else self.scale)
        if mask is None and self.causal and not last:  # the last may look at all
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores.softmax(-1)

    def _normalise(self, qk: Tensor, paired: bool) -> Tensor:
        """Every query and key head over its root mean square, (B, T, H + K, C)."""
        weights: list[Tensor] = [self.q_norm.weight, self.k_norm.weight]
        if paired:
            weights = [weight[self.order[: self.channels]] for weight in weights]
        parts = qk.split([self.heads, self.kv_heads], dim=2)
        return torch.cat([rms_norm(x, weight, self.eps) for x, weight in zip(parts, weights, strict=True)], dim=2)
