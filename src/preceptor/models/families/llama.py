"""Llama: rotary positions, RMSNorm, SwiGLU, grouped-query attention, no biases."""

from typing import Any

import torch
from torch import Tensor

from preceptor.models.config import ModelConfig, TransformerConfig

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
    rope = hf.get("rope_parameters") or hf.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise ValueError(f"rotary scaling {rope.get('rope_type', rope.get('type'))!r} is not supported")
    if hf.get("attention_bias") or hf.get("mlp_bias"):
        raise ValueError("Llama with biases is not supported")
    if hf.get("hidden_act", "silu") != "silu":
        raise ValueError(f"activation {hf['hidden_act']!r} is not supported")
    heads = hf["num_attention_heads"]
    return TransformerConfig(
        family="llama",
        vocab_size=hf["vocab_size"],
        hidden_size=hf["hidden_size"],
        intermediate_size=hf["intermediate_size"],
        num_hidden_layers=hf["num_hidden_layers"],
        num_attention_heads=heads,
        num_key_value_heads=hf.get("num_key_value_heads") or heads,
        head_dim=hf.get("head_dim") or hf["hidden_size"] // heads,
        max_position_embeddings=hf["max_position_embeddings"],
        position="rotary",
        norm="rmsnorm",
        mlp="swiglu",
        bias=False,
        tie_word_embeddings=hf.get("tie_word_embeddings", False),
        rope_theta=rope.get("rope_theta") or hf.get("rope_theta") or 10_000.0,
        norm_eps=hf.get("rms_norm_eps", 1e-6),
        causal=hf.get("is_causal", True),
    )


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """To config.json, without the keys that every family shares."""
    return {
        "model_type": "llama",
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rope_theta": config.rope_theta,  # readers older than rope_parameters look here
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
    }


def import_weights(config: TransformerConfig, hf: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trunk's weights under our names; ``hf`` has lost its trunk prefix. KeyError names a missing one."""
    ours = {"embed.weight": hf["embed_tokens.weight"], "norm.weight": hf["norm.weight"]}
    for i in range(config.num_hidden_layers):
        theirs, mine = f"layers.{i}.", f"blocks.{i}."
        ours[mine + "attention_norm.weight"] = hf[theirs + "input_layernorm.weight"]
        ours[mine + "attention.qkv.weight"] = torch.cat(
            [hf[theirs + f"self_attn.{part}_proj.weight"] for part in "qkv"]
        )
        ours[mine + "attention.out.weight"] = hf[theirs + "self_attn.o_proj.weight"]
        ours[mine + "mlp_norm.weight"] = hf[theirs + "post_attention_layernorm.weight"]
        ours[mine + "mlp.up.weight"] = torch.cat([hf[theirs + f"mlp.{part}_proj.weight"] for part in ("gate", "up")])
        ours[mine + "mlp.down.weight"] = hf[theirs + "mlp.down_proj.weight"]
    return ours


def export_weights(config: TransformerConfig, ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`import_weights`."""
    hf = {"embed_tokens.weight": ours["embed.weight"], "norm.weight": ours["norm.weight"]}
    key_width = config.num_key_value_heads * config.head_dim
    widths = [config.num_attention_heads * config.head_dim, key_width, key_width]
    for i in range(config.num_hidden_layers):
        theirs, mine = f"layers.{i}.", f"blocks.{i}."
        hf[theirs + "input_layernorm.weight"] = ours[mine + "attention_norm.weight"]
        for part, weight in zip("qkv", ours[mine + "attention.qkv.weight"].split(widths), strict=True):
            hf[theirs + f"self_attn.{part}_proj.weight"] = weight
        hf[theirs + "self_attn.o_proj.weight"] = ours[mine + "attention.out.weight"]
        hf[theirs + "post_attention_layernorm.weight"] = ours[mine + "mlp_norm.weight"]
        gate, up = ours[mine + "mlp.up.weight"].chunk(2)
        hf[theirs + "mlp.gate_proj.weight"], hf[theirs + "mlp.up_proj.weight"] = gate, up
        hf[theirs + "mlp.down_proj.weight"] = ours[mine + "mlp.down.weight"]
    return hf
