"""Gemma 3, the text part (arXiv 2503.19786).

Norms before and after attention and MLP, norms on query and key heads, embeddings scaled by the root of their width,
GeGLU, and five layers that look at a window for each one that looks at everything, with rotations of their own.
"""

from typing import Any

from preceptor.models.config import TransformerConfig
from preceptor.models.families import llama_like
from preceptor.models.families.pieces import LESS_ONE, Piece

# transformers has no token classification of this family, the head that keeps the bias. Its sequence
# classification has the weight alone, so there a score misses our bias, which no ranking notices.
LM, SCORES = "Gemma3ForCausalLM", "Gemma3TextForSequenceClassification"
TRUNK, LM_HEAD, SCORE = "model.", "lm_head", "score"

# What a config.json may leave out: that of the larger models does.
_DEFAULTS = {
    "vocab_size": 262_208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "sliding_window_pattern": 6,
}
_GLOBAL_THETA, _LOCAL_THETA = 1_000_000.0, 10_000.0


def read_config(hf: dict[str, Any]) -> TransformerConfig:
    """From config.json. Raises ValueError for what this decoder does not have, KeyError for what is missing."""
    hf = _DEFAULTS | hf.get("text_config", hf)  # the model with eyes keeps the text's part apart
    if hf.get("hidden_activation", "gelu_pytorch_tanh") != "gelu_pytorch_tanh":
        raise ValueError(f"activation {hf['hidden_activation']!r} is not supported")
    for key in ("attention_bias", "attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"):
        if hf.get(key):
            raise ValueError(f"Gemma 3 with {key} is not supported")
    shape = llama_like.read_shape(hf)
    layers, pattern = range(hf["num_hidden_layers"]), hf["sliding_window_pattern"]
    layer_types = llama_like.read_layer_types(hf) or tuple(
        "sliding_attention" if (layer + 1) % pattern else "full_attention" for layer in layers
    )
    return TransformerConfig(
        family="gemma3_text",
        mlp="geglu",
        sliding_window=hf["sliding_window"],
        layer_types=layer_types,
        qk_norm=True,
        post_norms=True,
        embed_scale=float(hf["hidden_size"]) ** 0.5,
        attention_scale=float(hf["query_pre_attn_scalar"]) ** -0.5,
        **shape,
        **_read_rope(hf),
    )


def _read_rope(hf: dict[str, Any]) -> dict[str, Any]:
    """The rotations of full and of sliding layers; the scaling is for full ones."""
    parameters = hf.get("rope_parameters") or {}
    full = (parameters.get("full_attention") or {}) | (hf.get("rope_scaling") or {})
    near = parameters.get("sliding_attention") or {}
    if llama_like.read_scaling(near, None) is not None:
        raise ValueError("rotary scaling of sliding layers is not supported")
    return {
        "rope_theta": full.get("rope_theta") or hf.get("rope_theta") or _GLOBAL_THETA,
        "rope_scaling": llama_like.read_scaling(full, hf["max_position_embeddings"]),
        "rope_local_theta": near.get("rope_theta") or hf.get("rope_local_base_freq") or _LOCAL_THETA,
    }


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """To config.json, without the keys that every family shares."""
    assert config.attention_scale is not None and config.rope_local_theta is not None
    scalar = config.attention_scale**-2
    full = llama_like.rope_parameters(config.rope_theta, config.rope_scaling)
    keys = llama_like.write_shape(config) | {
        "model_type": "gemma3_text",
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "query_pre_attn_scalar": round(scalar) if abs(scalar - round(scalar)) < 1e-6 else scalar,
        "sliding_window": config.sliding_window,
        "layer_types": list(config.layer_types or ()),
        "rope_parameters": {
            "full_attention": full,
            "sliding_attention": llama_like.rope_parameters(config.rope_local_theta, None),
        },
        # Readers older than rope_parameters look here.
        "rope_theta": config.rope_theta,
        "rope_local_base_freq": config.rope_local_theta,
    }
    if config.rope_scaling is not None:
        keys["rope_scaling"] = {key: value for key, value in full.items() if key != "rope_theta"}
    return keys


def pieces(config: TransformerConfig) -> list[Piece]:
    """Their tensors and where they lie in ours."""
    return llama_like.llama_pieces(config, norm=LESS_ONE)
