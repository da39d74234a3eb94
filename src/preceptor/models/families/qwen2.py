"""Qwen 2 and 2.5: Llama with biases on queries, keys and values (arXiv 2407.10671)."""

from typing import Any

from preceptor.models.config import TransformerConfig
from preceptor.models.families import llama_like
from preceptor.models.families.pieces import Piece

LM, SCORES = "Qwen2ForCausalLM", "Qwen2ForTokenClassification"
TRUNK, LM_HEAD, SCORE = "model.", "lm_head", "score"


def read_config(hf: dict[str, Any]) -> TransformerConfig:
    """From config.json. Raises ValueError for what this decoder does not have, KeyError for what is missing."""
    llama_like.check_swiglu(hf)
    return TransformerConfig(
        family="qwen2",
        mlp="swiglu",
        qkv_bias=True,
        **llama_like.read_shape(hf),
        **llama_like.read_rope(hf),
        **llama_like.read_qwen_windows(hf),
    )


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """To config.json, without the keys that every family shares."""
    shape = llama_like.write_shape(config) | llama_like.write_rope(config) | llama_like.write_qwen_windows(config)
    return shape | {"model_type": "qwen2", "hidden_act": "silu"}


def pieces(config: TransformerConfig) -> list[Piece]:
    """Their tensors and where they lie in ours."""
    return llama_like.llama_pieces(config)
