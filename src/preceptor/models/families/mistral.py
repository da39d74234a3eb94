"""Mistral: Llama whose layers, in its first version, look at a sliding window (arXiv 2310.06825)."""

from typing import Any

from preceptor.models.config import TransformerConfig
from preceptor.models.families import llama_like
from preceptor.models.families.pieces import Piece

LM, SCORES = "MistralForCausalLM", "MistralForTokenClassification"
TRUNK, LM_HEAD, SCORE = "model.", "lm_head", "score"


def read_config(hf: dict[str, Any]) -> TransformerConfig:
    """From config.json. Raises ValueError for what this decoder does not have, KeyError for what is missing."""
    llama_like.check_swiglu(hf)
    return TransformerConfig(
        family="mistral",
        mlp="swiglu",
        sliding_window=hf.get("sliding_window", 4096),
        **llama_like.read_shape(hf),
        **llama_like.read_rope(hf),
    )


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """To config.json, without the keys that every family shares."""
    shape = llama_like.write_shape(config) | llama_like.write_rope(config)
    return shape | {"model_type": "mistral", "hidden_act": "silu", "sliding_window": config.sliding_window}


def pieces(config: TransformerConfig) -> list[Piece]:
    """Their tensors and where they lie in ours."""
    return llama_like.llama_pieces(config)
