"""Llama 2 and 3, SmolLM2: rotary positions, RMSNorm, SwiGLU, grouped-query attention, no biases."""

from typing import Any

from preceptor.models.config import ModelConfig, TransformerConfig
from preceptor.models.families import llama_like
from preceptor.models.families.pieces import Piece

LM, SCORES = "LlamaForCausalLM", "LlamaForTokenClassification"
TRUNK, LM_HEAD, SCORE = "model.", "lm_head", "score"


def configure(model: ModelConfig, vocab_size: int) -> TransformerConfig:
    """The decoder of a recipe's ``[model]`` table."""
    return TransformerConfig(
        family="llama",
        vocab_size=vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_hidden_layers,
        num_attention_heads=model.num_attention_heads,
        num_key_value_heads=model.num_key_value_heads,
        head_dim=model.hidden_size // model.num_attention_heads,
        max_position_embeddings=model.max_position_embeddings,
        position="rotary",
        norm="rmsnorm",
        mlp="swiglu",
        bias=False,
        tie_word_embeddings=model.tie_word_embeddings,
        rope_theta=model.rope_theta,
    )


def read_config(hf: dict[str, Any]) -> TransformerConfig:
    """From config.json. Raises ValueError for what this decoder does not have, KeyError for what is missing."""
    llama_like.check_swiglu(hf)
    return TransformerConfig(family="llama", mlp="swiglu", **llama_like.read_shape(hf), **llama_like.read_rope(hf))


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """To config.json, without the keys that every family shares."""
    shape = llama_like.write_shape(config) | llama_like.write_rope(config)
    return shape | {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False}


def pieces(config: TransformerConfig) -> list[Piece]:
    """Their tensors and where they lie in ours."""
    return llama_like.llama_pieces(config)
