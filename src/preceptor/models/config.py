"""What a decoder is made of. One configuration selects every member of every family."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from preceptor.config import Config


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of one decoder; the names are Hugging Face's.

    ``family`` names the file in ``families/`` that reads and writes it. The choices that
    tell families apart (position, norm, mlp, bias) are fields of their own, so that the
    model code never asks which family it is.
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
    mlp: Literal["gelu", "swiglu"]
    bias: bool
    tie_word_embeddings: bool = True
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    causal: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self) -> None:
        assert self.num_attention_heads % self.num_key_value_heads == 0, "query heads must share key heads evenly"
        assert self.position == "learned" or self.head_dim % 2 == 0, "rotary positions turn pairs of channels"


class ModelConfig(Config):
    """The ``[model]`` table: the size of the model that ``pretrain`` starts from nothing."""

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
