"""The decoder: GPT-2, Llama and their relatives, causal or bidirectional.

Shapes: B batch rows, T positions, D hidden size, V vocabulary.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from preceptor.models.attention import Attention, KVCache
from preceptor.models.branches import LONG, Forest
from preceptor.models.config import TransformerConfig
from preceptor.models.fused import RMSNorm
from preceptor.models.linear import Linear, chosen
from preceptor.models.masks import branch_mask, branch_positions, segment_mask, segment_positions, window_mask
from preceptor.models.rotary import layer_tables


def _norm(config: TransformerConfig) -> nn.Module:
    if config.norm == "rmsnorm":
        return RMSNorm(config.hidden_size, eps=config.norm_eps)
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps)


class MLP(nn.Module):
    """GELU (GPT-2), or SwiGLU or GeGLU (arXiv 2002.05202), whose gate and value come from one product."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.gated = config.gated
        self.activation = _ACTIVATIONS[config.mlp]
        width = config.intermediate_size
        self.up = Linear(config.hidden_size, 2 * width if self.gated else width, bias=config.bias)
        self.down = Linear(width, config.hidden_size, bias=config.bias)

    def forward(self, x_BTD: Tensor, noise: Tensor | None = None) -> Tensor:
        h = self.up(x_BTD, noise=noise)
        if self.gated:
            gate, value = h.chunk(2, dim=-1)
            return self.down(self.activation(gate) * value, noise=noise)
        return self.down(self.activation(h), noise=noise)


_tanh_gelu = partial(F.gelu, approximate="tanh")
_ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "gelu": _tanh_gelu,
    "gelu_exact": F.gelu,
    "swiglu": F.silu,
    "geglu": _tanh_gelu,
}


class Block(nn.Module):
    """Attention, then MLP, each on a normalised input and added to the residual stream.

    With ``post_norms`` what they add is normalised too; with ``parallel_residual`` the MLP reads
    the stream as attention did.
    """

    def __init__(self, config: TransformerConfig, layer: int):
        super().__init__()
        self.attention_norm = _norm(config)
        self.attention = Attention(config, layer)
        self.mlp_norm = _norm(config)
        self.mlp = MLP(config)
        self.post_norms, self.parallel = config.post_norms, config.parallel_residual
        if self.post_norms:
            self.attention_out_norm = _norm(config)
            self.mlp_out_norm = _norm(config)

    def forward(
        self,
        x_BTD: Tensor,
        turns: Tensor | None,
        mask: Tensor | Forest | None,
        cache: KVCache | None,
        rows: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D) to (B, T, D), or to (N, D): ``rows`` (N,) are the only ones of the B * T that are asked for."""
        attended = self.attention(self.attention_norm(x_BTD), turns, mask, cache, rows, noise)
        if self.post_norms:
            attended = self.attention_out_norm(attended)
        before = x_BTD if rows is None else x_BTD.flatten(0, 1).index_select(0, rows)
        x = attended + before
        added = self.mlp(self.mlp_norm(before if self.parallel else x), chosen(noise, rows))
        return x + (self.mlp_out_norm(added) if self.post_norms else added)


class Transformer(nn.Module):
    """A language model: ``model(ids)`` gives logits (batch, time, vocabulary).

    There is no dropout anywhere, but in adapters where SFT asks for it: policy, reference, critic and
    reward model must agree with themselves from one pass to the next.
    """

    gradient_checkpointing = False  # keep only what goes into each block and compute the rest again on the way back

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.context = config.max_position_embeddings  # how much of it is used; see models/compute.py
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        if config.position == "learned":
            self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        else:
            for name, (cos, sin) in layer_tables(config).items():
                self.register_buffer(name + "cos", cos, persistent=False)
                self.register_buffer(name + "sin", sin, persistent=False)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = _norm(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.head.weight = self.embed.weight

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embed.weight.device

    def initialise(self, generator: torch.Generator) -> None:
        """GPT-2's start (Radford et al. 2019, 2.3): N(0, .02), residual outputs scaled by 1/sqrt(2 layers)."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                std = 0.02
                if name.endswith(("attention.out.weight", "mlp.down.weight")):
                    std /= (2 * self.config.num_hidden_layers) ** 0.5
                parameter.data.normal_(0.0, std, generator=generator)

    def forward(self, ids_BT: Tensor, segments_BT: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) at every position; see :meth:`hidden` for the arguments."""
        return self.unembed(self.hidden(ids_BT, segments_BT))

    def unembed(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states: (..., D) to (..., V)."""
        logits: Tensor = self.head(hidden)
        return logits

    def hidden(
        self,
        ids_BT: Tensor,
        segments_BT: Tensor | None = None,
        *,
        branches_BT: Tensor | None = None,
        cache: KVCache | None = None,
        only_BT: Tensor | None = None,
        noise_BT: Tensor | None = None,
    ) -> Tensor:
        """The normalised last hidden states: (B, T, D), or (N, D) at the N positions where ``only_BT`` is True.

        Where they are not asked for, the last block computes keys and values and nothing more.

        ``segments_BT`` numbers what belongs together in a row: 0 is padding, and a token sees
        only its own segment, with positions counted from its start; None says that each row is
        one sequence that starts at its first column. ``branches_BT`` divides a segment into what its
        sequences share, 0, and then 1, 2, ... for the rest of each: a token sees the shared part and
        its own branch, as if they were alone. With a ``cache``, row b continues slot b.
        ``noise_BT``, int64, names each token's draw of the adapters' dropout; None: no dropout.
        Raises ValueError when a position lies beyond the context.
        """
        config = self.config
        x_BTD = self.embed(ids_BT)
        if config.embed_scale != 1:
            x_BTD = x_BTD * config.embed_scale
        positions, last, mask, near_mask = self._places(ids_BT, segments_BT, branches_BT, cache)
        turns = near_turns = None
        if config.position == "learned":
            x_BTD = x_BTD + self.positions(positions)
        else:
            turns = near_turns = self.turns(positions, last)
            if config.rope_local_theta is not None:
                near_turns = self.turns(positions, last, "local")
        rows = None if only_BT is None else only_BT.flatten().nonzero()[:, 0]
        for layer, block in enumerate(self.blocks):
            asked = rows if layer == config.num_hidden_layers - 1 else None
            at, seen = (turns, mask) if config.window(layer) is None else (near_turns, near_mask)
            x_BTD = self._run(block, x_BTD, at, seen, cache, asked, noise_BT)
        if cache is not None:
            cache.advance(ids_BT.shape[1])
        normed: Tensor = self.norm(x_BTD)
        return normed

    def _run(self, block: nn.Module, x_BTD: Tensor, *rest: Any) -> Tensor:
        """A block, with or without its activations kept for the way back."""
        if not (self.gradient_checkpointing and torch.is_grad_enabled()):
            return block(x_BTD, *rest)
        # The blocks draw no random numbers, so there is no state of a generator to bring back.
        done: Tensor = checkpoint(block, x_BTD, *rest, use_reentrant=False, preserve_rng_state=False)
        return done

    def turns(self, positions: Tensor, end: int, layers: str = "") -> Tensor:
        """Rotations at ``positions`` (B, T), all below ``end``, as complex numbers (B, T, 1, C/2)."""
        cos, sin = (self.get_buffer(layers + name)[:end] for name in ("cos", "sin"))
        return torch.complex(cos, sin)[positions].unsqueeze(-2)

    def _places(
        self, ids_BT: Tensor, segments_BT: Tensor | None, branches_BT: Tensor | None, cache: KVCache | None
    ) -> tuple[Tensor, int, Tensor | Forest | None, Tensor | Forest | None]:
        """Positions (B or 1, T), how many there are, and the attention masks of full and of sliding layers.

        A mask is None where plain causal (or full) attention is right.
        """
        T, window = ids_BT.shape[1], self.config.sliding_window
        steps = torch.arange(T, device=ids_BT.device)
        mask: Tensor | Forest | None
        if cache is not None:
            positions, mask = cache.lengths[:, None] + steps, cache.mask(T)
            end = cache.reach(T)
        elif segments_BT is None:
            positions, mask, end = steps[None], None, T
        elif branches_BT is not None:
            if not self.config.causal:
                raise ValueError("branches share a beginning that does not see what follows: causal models only")
            positions = branch_positions(segments_BT, branches_BT)
            end = int(positions.max()) + 1
            if self._in_pieces(T, end):
                mask = Forest.of(segments_BT, branches_BT)
            else:
                mask = branch_mask(segments_BT, branches_BT)
        else:
            positions = segment_positions(segments_BT)
            mask = segment_mask(segments_BT, self.config.causal)
            end = int(positions.max()) + 1
        if end > self.config.max_position_embeddings:
            raise ValueError(f"{end} positions do not fit the context of {self.config.max_position_embeddings}")
        if window is None or end <= window:
            return positions, end, mask, mask
        assert not isinstance(mask, Forest)
        near = cache.mask(T, window) if cache is not None else window_mask(positions, window, mask, self.config.causal)
        return positions, end, mask, near

    def _in_pieces(self, time: int, end: int) -> bool:
        """Whether branches of rows this long attend in pieces: see models/branches.py.

        Not under a sliding window, which needs the mask; nor on a GPU, nor compiled, where many small calls cost more.
        """
        window = self.config.sliding_window
        compiled = self.blocks[0]._compiled_call_impl is not None
        return time >= LONG and self.device.type == "cpu" and not compiled and (window is None or end <= window)
