"""GPT-2: learned positions, LayerNorm, GELU, biases; its matrices are stored input first."""

from typing import Any

from preceptor.models.config import ModelConfig, TransformerConfig
from preceptor.models.families.pieces import PLAIN, TRANSPOSED, Piece

LM, SCORES = "GPT2LMHeadModel", "GPT2ForTokenClassification"
TRUNK, LM_HEAD, SCORE = "transformer.", "lm_head", "classifier"

# Ours -> theirs, inside a block; both have a weight and a bias.
_IN_BLOCK = {
    "attention_norm": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "mlp_norm": "ln_2",
    "mlp.up": "mlp.c_fc",
    "mlp.down": "mlp.c_proj",
}


def configure(model: ModelConfig, vocab_size: int) -> TransformerConfig:
    """The decoder of a recipe's ``[model]`` table."""
    return TransformerConfig(
        family="gpt2",
        vocab_size=vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_hidden_layers,
        num_attention_heads=model.num_attention_heads,
        num_key_value_heads=model.num_attention_heads,
        head_dim=model.hidden_size // model.num_attention_heads,
        max_position_embeddings=model.max_position_embeddings,
        position="learned",
        norm="layernorm",
        mlp="gelu",
        bias=True,
        tie_word_embeddings=model.tie_word_embeddings,
    )


def read_config(hf: dict[str, Any]) -> TransformerConfig:
    """From config.json. Raises ValueError for what this decoder does not have, KeyError for what is missing."""
    if hf.get("activation_function", "gelu_new") not in ("gelu_new", "gelu_pytorch_tanh"):
        raise ValueError(f"activation {hf['activation_function']!r} is not supported")
    if hf.get("scale_attn_by_inverse_layer_idx") or not hf.get("scale_attn_weights", True):
        raise ValueError("GPT-2 with another attention scale is not supported")
    heads = hf["n_head"]
    return TransformerConfig(
        family="gpt2",
        vocab_size=hf["vocab_size"],
        hidden_size=hf["n_embd"],
        intermediate_size=hf.get("n_inner") or 4 * hf["n_embd"],
        num_hidden_layers=hf["n_layer"],
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hf["n_embd"] // heads,
        max_position_embeddings=hf["n_positions"],
        position="learned",
        norm="layernorm",
        mlp="gelu",
        bias=True,
        tie_word_embeddings=hf.get("tie_word_embeddings", True),
        norm_eps=hf.get("layer_norm_epsilon", 1e-5),
        causal=hf.get("is_causal", True),
    )


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """To config.json, without the keys that every family shares."""
    return {
        "model_type": "gpt2",
        "n_embd": config.hidden_size,
        "n_inner": config.intermediate_size,
        "n_layer": config.num_hidden_layers,
        "n_head": config.num_attention_heads,
        "n_positions": config.max_position_embeddings,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.norm_eps,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "classifier_dropout": 0.0,
    }


def pieces(config: TransformerConfig) -> list[Piece]:
    """Their tensors and where they lie in ours."""
    found = [
        Piece("wte.weight", "embed.weight"),
        Piece("wpe.weight", "positions.weight"),
        Piece("ln_f.weight", "norm.weight"),
        Piece("ln_f.bias", "norm.bias"),
    ]
    for layer in range(config.num_hidden_layers):
        for mine, theirs in _IN_BLOCK.items():
            stored = PLAIN if mine.endswith("norm") else TRANSPOSED
            weight, bias = (f"blocks.{layer}.{mine}.{kind}" for kind in ("weight", "bias"))
            found.append(Piece(f"h.{layer}.{theirs}.weight", weight, stored=stored))
            found.append(Piece(f"h.{layer}.{theirs}.bias", bias))
    return found
