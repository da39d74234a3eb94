"""GPT-NeoX, the family of Pythia (arXiv 2204.06745): attention and MLP side by side, a part of each head turns."""

from typing import Any

from preceptor.models.config import TransformerConfig
from preceptor.models.families import llama_like
from preceptor.models.families.pieces import PLAIN, Piece, by_head

LM, SCORES = "GPTNeoXForCausalLM", "GPTNeoXForTokenClassification"
TRUNK, LM_HEAD, SCORE = "gpt_neox.", "embed_out", "classifier"

# Ours -> theirs, inside a block; both have a weight and a bias.
_IN_BLOCK = {
    "attention_norm": "input_layernorm",
    "attention.qkv": "attention.query_key_value",
    "attention.out": "attention.dense",
    "mlp_norm": "post_attention_layernorm",
    "mlp.up": "mlp.dense_h_to_4h",
    "mlp.down": "mlp.dense_4h_to_h",
}


def read_config(hf: dict[str, Any]) -> TransformerConfig:
    """From config.json. Raises ValueError for what this decoder does not have, KeyError for what is missing."""
    activation = hf.get("hidden_act", "gelu")
    if activation not in ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"):
        raise ValueError(f"activation {activation!r} is not supported")
    if not hf.get("attention_bias", True):
        raise ValueError("GPT-NeoX without attention_bias is not supported")
    heads = hf["num_attention_heads"]
    rope = hf.get("rope_parameters") or hf.get("rope_scaling") or {}
    head_dim = hf["hidden_size"] // heads
    turning = int(head_dim * (rope.get("partial_rotary_factor") or hf.get("rotary_pct", 0.25)))
    return TransformerConfig(
        family="gpt_neox",
        vocab_size=hf["vocab_size"],
        hidden_size=hf["hidden_size"],
        intermediate_size=hf["intermediate_size"],
        num_hidden_layers=hf["num_hidden_layers"],
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=head_dim,
        max_position_embeddings=hf["max_position_embeddings"],
        position="rotary",
        norm="layernorm",
        mlp="gelu_exact" if activation == "gelu" else "gelu",
        bias=True,
        parallel_residual=hf.get("use_parallel_residual", True),
        tie_word_embeddings=hf.get("tie_word_embeddings", False),
        rope_theta=rope.get("rope_theta") or hf.get("rotary_emb_base") or 10_000.0,
        rope_scaling=llama_like.read_scaling(rope, hf["max_position_embeddings"]),
        rotary_dim=turning,
        norm_eps=hf.get("layer_norm_eps", 1e-5),
        causal=hf.get("is_causal", True),
    )


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """To config.json, without the keys that every family shares."""
    share = (config.rotary_dim or config.head_dim) / config.head_dim
    rope = llama_like.rope_parameters(config.rope_theta, config.rope_scaling)
    return {
        "model_type": "gpt_neox",
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "max_position_embeddings": config.max_position_embeddings,
        "hidden_act": "gelu" if config.mlp == "gelu_exact" else "gelu_new",
        "layer_norm_eps": config.norm_eps,
        "use_parallel_residual": config.parallel_residual,
        "attention_bias": True,
        "rope_parameters": rope | {"partial_rotary_factor": share},
        # Readers older than rope_parameters look here.
        "rotary_pct": share,
        "rotary_emb_base": config.rope_theta,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        "classifier_dropout": 0.0,
    }


def pieces(config: TransformerConfig) -> list[Piece]:
    """Their tensors and where they lie in ours."""
    found = [
        Piece("embed_in.weight", "embed.weight"),
        Piece("final_layer_norm.weight", "norm.weight"),
        Piece("final_layer_norm.bias", "norm.bias"),
    ]
    fused = by_head(config.num_attention_heads)
    for layer in range(config.num_hidden_layers):
        for mine, theirs in _IN_BLOCK.items():
            stored = fused if mine == "attention.qkv" else PLAIN
            for kind in ("weight", "bias"):
                name = f"layers.{layer}.{theirs}.{kind}"
                found.append(Piece(name, f"blocks.{layer}.{mine}.{kind}", stored=stored))
    return found
