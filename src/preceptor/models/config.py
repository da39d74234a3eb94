"""What a decoder is made of. One configuration selects every member of every family."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from preceptor.config import Config

LayerType = Literal["full_attention", "sliding_attention"]


@dataclass(frozen=True)
class RopeScaling:
    """Slower rotary frequencies, for a context longer than the one first trained on.

    ``linear`` divides every frequency by ``factor``. ``llama3`` divides the slow ones, leaves the quick
    ones, and goes smoothly from one to the other; only it looks at the other fields.
    """

    kind: Literal["linear", "llama3"]
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192

    def __post_init__(self) -> None:
        assert self.factor > 0, "the factor of rotary scaling must be positive"
        assert self.high_freq_factor > self.low_freq_factor, "high_freq_factor must exceed low_freq_factor"


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of one decoder; the names are Hugging Face's.

    ``family`` names the file in ``families/`` that reads and writes it. The choices that
    tell families apart (position, norm, mlp, bias and what follows them) are fields of their
    own, so that the model code never asks which family it is.
    """

    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    position: Literal["learned", "rotary"]
    norm: Literal["layernorm", "rmsnorm"]
    mlp: Literal["gelu", "gelu_exact", "swiglu", "geglu"]  # gelu and geglu: the tanh approximation
    bias: bool  # in every projection
    qkv_bias: bool = False  # in queries, keys and values alone
    tie_word_embeddings: bool = True
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    rotary_dim: int | None = None  # channels of a head that turn, the first ones; None: all
    rope_local_theta: float | None = None  # of sliding layers, unscaled; None: as the others
    sliding_window: int | None = None  # positions a sliding layer looks at, its own included
    layer_types: tuple[LayerType, ...] | None = None  # None: all slide if there is a window
    qk_norm: bool = False  # RMSNorm on every query and key head, before they turn
    post_norms: bool = False  # a norm on what attention and MLP add to the stream, too
    parallel_residual: bool = False  # attention and MLP read the same stream
    embed_scale: float = 1.0  # times the input embedding
    attention_scale: float | None = None  # times query . key; None: head_dim ** -0.5
    norm_eps: float = 1e-5
    causal: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    stop_token_ids: tuple[int, ...] = ()  # all that end a response, where there are more than eos_token_id

    def __post_init__(self) -> None:
        assert self.num_attention_heads % self.num_key_value_heads == 0, "query heads must share key heads evenly"
        assert self.position == "learned" or self.head_dim % 2 == 0, "rotary positions turn pairs of channels"
        turning = self.head_dim if self.rotary_dim is None else self.rotary_dim
        assert turning % 2 == 0 and 0 < turning <= self.head_dim, "the channels that turn must be pairs in a head"
        assert not self.post_norms or self.norm == "rmsnorm", "norms on what is added to the stream are RMSNorms"
        assert not (self.post_norms and self.parallel_residual), "post_norms and parallel_residual exclude each other"
        assert self.sliding_window is None or self.sliding_window > 0, "sliding_window must be positive"
        if self.layer_types is not None:
            assert len(self.layer_types) == self.num_hidden_layers, "layer_types must name every layer"
            unknown = set(self.layer_types) - set(get_args(LayerType))
            assert not unknown, f"unknown layer types {', '.join(sorted(map(str, unknown)))}"
            slides = "sliding_attention" in self.layer_types
            assert not slides or self.sliding_window is not None, "sliding layers need a sliding_window"

    def window(self, layer: int) -> int | None:
        """How many positions a layer looks at, its own included; None: all."""
        if self.layer_types is not None and self.layer_types[layer] == "full_attention":
            return None
        return self.sliding_window

    @property
    def gated(self) -> bool:
        """Whether the MLP multiplies its values by a gate."""
        return self.mlp in ("swiglu", "geglu")


class ModelConfig(Config):
    """The ``[model]`` table: a pretrained model to start from, or the size of the one that ``pretrain`` makes."""

    start: Path | None = Field(
        None,
        description="A pretrained model that the run starts from, in place of the stages tokenizer and pretrain: a "
        "directory, a GGUF file, a wheel that holds one, or a hub id as owner/name[@revision]. The other keys here are "
        "then not used.",
    )
    family: Literal["llama", "gpt2"] = Field(
        "llama",
        description="`llama`: rotary positions, RMSNorm, SwiGLU, no biases. "
        "`gpt2`: learned positions, LayerNorm, GELU, biases.",
    )
    hidden_size: int = Field(128, ge=2, description="Width of the residual stream.")
    intermediate_size: int = Field(352, ge=1, description="Width inside the MLP.")
    num_hidden_layers: int = Field(4, ge=1, description="Number of transformer blocks.")
    num_attention_heads: int = Field(4, ge=1, description="Query heads; they divide `hidden_size`.")
    num_key_value_heads: int = Field(
        4, ge=1, description="Key/value heads (grouped-query attention when fewer; `gpt2` has as many as query heads)."
    )
    max_position_embeddings: int = Field(128, ge=8, description="Context length in tokens.")
    rope_theta: float = Field(10_000.0, gt=0, description="Base of the rotary frequencies.")
    tie_word_embeddings: bool = Field(True, description="One matrix for input embedding and output head.")

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelConfig":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("hidden_size must be a multiple of num_attention_heads")
        if self.family == "llama" and self.hidden_size // self.num_attention_heads % 2:
            raise ValueError("hidden_size / num_attention_heads must be even for rotary positions")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads")
        if self.family == "gpt2" and self.num_key_value_heads != self.num_attention_heads:
            raise ValueError("gpt2 has one key/value head for each query head; set num_key_value_heads alike")
        return self
