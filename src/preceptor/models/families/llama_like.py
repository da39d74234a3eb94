"""What Llama and the families that grew out of it share: names, and the keys of config.json."""

from typing import Any, get_args

from preceptor.models.config import LayerType, RopeScaling, TransformerConfig
from preceptor.models.families.pieces import PLAIN, Piece, Storage, projections, qkv_widths


def read_shape(hf: dict[str, Any]) -> dict[str, Any]:
    """The fields of :class:`TransformerConfig` that all of them read alike. KeyError names a missing key."""
    heads = hf["num_attention_heads"]
    return {
        "vocab_size": hf["vocab_size"],
        "hidden_size": hf["hidden_size"],
        "intermediate_size": hf["intermediate_size"],
        "num_hidden_layers": hf["num_hidden_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": hf.get("num_key_value_heads") or heads,
        "head_dim": hf.get("head_dim") or hf["hidden_size"] // heads,
        "max_position_embeddings": hf["max_position_embeddings"],
        "position": "rotary",
        "norm": "rmsnorm",
        "bias": False,
        "tie_word_embeddings": hf.get("tie_word_embeddings", False),
        "norm_eps": hf.get("rms_norm_eps", 1e-6),
        "causal": hf.get("is_causal", True),
    }


def write_shape(config: TransformerConfig) -> dict[str, Any]:
    """The inverse of :func:`read_shape`, without the keys that every family shares."""
    return {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.norm_eps,
    }


def check_swiglu(hf: dict[str, Any]) -> None:
    """Raise ValueError for another activation, or for biases that the family's public models do not have."""
    if hf.get("hidden_act", "silu") != "silu":
        raise ValueError(f"activation {hf['hidden_act']!r} is not supported")
    if hf.get("attention_bias") or hf.get("mlp_bias"):
        raise ValueError(f"{hf['model_type']} with attention_bias or mlp_bias is not supported")


def read_rope(hf: dict[str, Any]) -> dict[str, Any]:
    """``rope_theta`` and ``rope_scaling`` of a config that has one rotation for all layers."""
    # Newer files have everything in rope_parameters, older ones rope_theta beside rope_scaling.
    rope = hf.get("rope_parameters") or hf.get("rope_scaling") or {}
    theta = rope.get("rope_theta") or hf.get("rope_theta") or 10_000.0
    return {"rope_theta": theta, "rope_scaling": read_scaling(rope, hf.get("max_position_embeddings"))}


def read_scaling(rope: dict[str, Any], context: int | None) -> RopeScaling | None:
    """The scaling in one rotation's parameters. ValueError for a kind that this decoder does not have."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind in ("default", None):
        return None
    if kind == "linear":
        return RopeScaling("linear", float(rope["factor"]))
    if kind == "llama3":
        original = rope.get("original_max_position_embeddings") or context
        if original is None:
            raise KeyError("original_max_position_embeddings")
        low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
        return RopeScaling("llama3", float(rope["factor"]), low, high, original)
    raise ValueError(f"rotary scaling {kind!r} is not supported")


def rope_parameters(theta: float, scaling: RopeScaling | None) -> dict[str, Any]:
    """One rotation's parameters, as transformers 5 writes them."""
    parameters: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if scaling is not None:
        parameters |= {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind == "llama3":
            parameters |= {
                "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_max_position_embeddings,
            }
    return parameters


def write_rope(config: TransformerConfig) -> dict[str, Any]:
    """The inverse of :func:`read_rope`."""
    parameters = rope_parameters(config.rope_theta, config.rope_scaling)
    # Readers older than rope_parameters look for the other keys.
    keys: dict[str, Any] = {"rope_parameters": parameters, "rope_theta": config.rope_theta}
    if config.rope_scaling is not None:
        keys["rope_scaling"] = {key: value for key, value in parameters.items() if key != "rope_theta"}
    return keys


def read_layer_types(hf: dict[str, Any]) -> tuple[LayerType, ...] | None:
    """The ``layer_types`` of a config, if it names them."""
    types = hf.get("layer_types")
    if types is None:
        return None
    for kind in types:
        if kind not in get_args(LayerType):
            raise ValueError(f"layers of the type {kind!r} are not supported")
    return tuple(types)


def read_qwen_windows(hf: dict[str, Any]) -> dict[str, Any]:
    """Qwen's sliding windows, off unless ``use_sliding_window``, and then in the layers behind the first ones."""
    if not hf.get("use_sliding_window"):
        return {}
    window = hf.get("sliding_window", 4096)
    if window is None:
        return {}
    types = read_layer_types(hf)
    if types is None:
        first = hf.get("max_window_layers", 28)
        layers = range(hf["num_hidden_layers"])
        types = tuple("sliding_attention" if layer >= first else "full_attention" for layer in layers)
    return {"sliding_window": window, "layer_types": types}


def write_qwen_windows(config: TransformerConfig) -> dict[str, Any]:
    """The inverse of :func:`read_qwen_windows`."""
    if config.sliding_window is None:
        return {"use_sliding_window": False, "sliding_window": None}
    layers = range(config.num_hidden_layers)
    types = ["full_attention" if config.window(layer) is None else "sliding_attention" for layer in layers]
    return {
        "use_sliding_window": True,
        "sliding_window": config.sliding_window,
        "layer_types": types,
        # Readers older than layer_types look here. They cannot say more than "from this layer on".
        "max_window_layers": types.index("sliding_attention") if "sliding_attention" in types else len(types),
    }


def llama_pieces(config: TransformerConfig, norm: Storage = PLAIN) -> list[Piece]:
    """Llama's names, with the biases, QK-norms and post-norms that the config asks for.

    ``norm`` is how the scale of a norm is stored.
    """
    kinds = ("weight", "bias") if config.qkv_bias else ("weight",)
    pieces = [
        Piece("embed_tokens.weight", "embed.weight"),
        Piece("norm.weight", "norm.weight", stored=norm),
    ]
    # Where the output of attention has a norm too, that has the name which the MLP's has elsewhere.
    norms = {"attention_norm": "input_layernorm"}
    if config.post_norms:
        norms["attention_out_norm"] = "post_attention_layernorm"
        norms["mlp_norm"] = "pre_feedforward_layernorm"
        norms["mlp_out_norm"] = "post_feedforward_layernorm"
    else:
        norms["mlp_norm"] = "post_attention_layernorm"
    if config.qk_norm:
        norms |= {"attention.q_norm": "self_attn.q_norm", "attention.k_norm": "self_attn.k_norm"}
    for layer in range(config.num_hidden_layers):
        theirs, ours = f"layers.{layer}.", f"blocks.{layer}."
        for mine, their in norms.items():
            pieces.append(Piece(f"{theirs}{their}.weight", f"{ours}{mine}.weight", stored=norm))
        qkv = [f"{theirs}self_attn.{part}_proj" for part in "qkv"]
        pieces += projections(qkv, ours + "attention.qkv", qkv_widths(config), kinds)
        pieces.append(Piece(theirs + "self_attn.o_proj.weight", ours + "attention.out.weight"))
        gate_up = [f"{theirs}mlp.{part}_proj" for part in ("gate", "up")]
        pieces += projections(gate_up, ours + "mlp.up", [config.intermediate_size] * 2, ("weight",))
        pieces.append(Piece(theirs + "mlp.down_proj.weight", ours + "mlp.down.weight"))
    return pieces
