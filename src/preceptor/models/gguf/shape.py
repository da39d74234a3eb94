"""From a GGUF file's metadata to the shape of the decoder, and where its tensors lie in ours.

llama.cpp's converter has one set of tensor names for all families, and undoes some of their peculiarities, as ours
does: linear layers are stored output first, a norm's scale is the whole scale, queries, keys and values that a
family interleaves are one below the other. What it does of its own: for Llama it reorders the rows of queries and
keys so that channels that turn together are neighbours, and it replaces Llama 3's rotary scaling by its factors.
"""

from typing import Any

import torch
from torch import Tensor

from preceptor.errors import InputError
from preceptor.models.config import RopeScaling, TransformerConfig
from preceptor.models.families.pieces import Piece, Storage, projections, qkv_widths
from preceptor.models.gguf.file import GGUFFile
from preceptor.models.rotary import scaled

_RMS = {"position": "rotary", "norm": "rmsnorm", "bias": False}
_LAYER_NORM = {"norm": "layernorm", "bias": True}
# What an architecture of theirs is, beyond what the metadata says.
_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": _RMS | {"family": "llama", "mlp": "swiglu"},
    "qwen2": _RMS | {"family": "qwen2", "mlp": "swiglu", "qkv_bias": True},
    "qwen3": _RMS | {"family": "qwen3", "mlp": "swiglu", "qk_norm": True},
    "gemma3": _RMS | {"family": "gemma3_text", "mlp": "geglu", "qk_norm": True, "post_norms": True},
    "gpt2": _LAYER_NORM | {"family": "gpt2", "mlp": "gelu", "position": "learned"},
    "gptneox": _LAYER_NORM | {"family": "gpt_neox", "mlp": "gelu_exact", "position": "rotary"},
}
ROPE_FREQS = "rope_freqs.weight"
# Not in the metadata: every sixth layer of Gemma 3 looks at everything, the others turn by an angle of their own.
_GEMMA_PATTERN, _GEMMA_LOCAL_THETA = 6, 10_000.0
_GEMMA_27B_LAYERS = 62  # the one size whose scale of attention is that of the hidden size, not of a head


def read_shape(file: GGUFFile) -> TransformerConfig:
    """The decoder in a file. Raises :class:`InputError` for one that we do not have."""
    arch = file.architecture
    if arch not in _ARCHITECTURES:
        known = ", ".join(sorted(_ARCHITECTURES))
        raise InputError(f"{file.path}: unknown GGUF architecture {arch!r}; the known ones are {known}")
    if file.get(f"{arch}.expert_count"):
        raise InputError(f"{file.path}: a mixture of experts is not supported; use a dense model")

    def get(key: str, default: Any = None) -> Any:
        return file.get(f"{arch}.{key}", default)

    def need(key: str) -> Any:
        return file.need(f"{arch}.{key}")

    heads, hidden = need("attention.head_count"), need("embedding_length")
    head_dim = get("attention.key_length") or hidden // heads
    fields = _ARCHITECTURES[arch] | {
        "vocab_size": file.rows("token_embd.weight") if "token_embd.weight" in file.names else 0,
        "hidden_size": hidden,
        "intermediate_size": need("feed_forward_length"),
        "num_hidden_layers": need("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": get("attention.head_count_kv") or heads,
        "head_dim": head_dim,
        "max_position_embeddings": need("context_length"),
        "tie_word_embeddings": "output.weight" not in file.names,
        "norm_eps": get("attention.layer_norm_rms_epsilon") or need("attention.layer_norm_epsilon"),
    }
    if fields["position"] == "rotary":
        turning = get("rope.dimension_count", head_dim)
        fields |= {
            "rope_theta": get("rope.freq_base", 10_000.0),
            "rotary_dim": None if turning == head_dim else turning,
            "rope_scaling": _scaling(file, head_dim, get("rope.freq_base", 10_000.0)),
        }
    if arch == "gptneox":
        fields |= {"parallel_residual": bool(get("use_parallel_residual", True)), "rotary_dim": turning}
    if arch == "gemma3":
        fields |= _gemma(need("block_count"), hidden, heads, head_dim, need("attention.sliding_window"))
    try:
        return TransformerConfig(**fields, **_special_ids(file))
    except (AssertionError, TypeError) as error:
        raise InputError(f"{file.path}: its metadata do not fit together ({error})") from None


def _special_ids(file: GGUFFile) -> dict[str, Any]:
    ids = {f"{kind}_token_id": file.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("bos", "eos")}
    ids["pad_token_id"] = file.get("tokenizer.ggml.padding_token_id")
    # The end of a turn, where it is another than the end of the text.
    stops = [ids["eos_token_id"], file.get("tokenizer.ggml.eot_token_id")]
    distinct = tuple(dict.fromkeys(one for one in stops if one is not None))
    return ids | {"stop_token_ids": distinct if len(distinct) > 1 else ()}


def _gemma(layers: int, hidden: int, heads: int, head_dim: int, window: int) -> dict[str, Any]:
    per_head = hidden / heads if layers == _GEMMA_27B_LAYERS else head_dim
    return {
        "sliding_window": window,
        "layer_types": tuple(
            "sliding_attention" if (layer + 1) % _GEMMA_PATTERN else "full_attention" for layer in range(layers)
        ),
        "rope_local_theta": _GEMMA_LOCAL_THETA,
        "embed_scale": float(hidden) ** 0.5,
        "attention_scale": float(per_head) ** -0.5,
    }


def _scaling(file: GGUFFile, channels: int, theta: float) -> RopeScaling | None:
    """The rotary scaling; Llama 3's is told from the factors by which it divides the frequencies."""
    kind = file.get(f"{file.architecture}.rope.scaling.type", "none")
    factor = file.get(f"{file.architecture}.rope.scaling.factor", 1.0)
    if ROPE_FREQS in file.names:
        divisors = file[ROPE_FREQS]
        scaling = RopeScaling("llama3", float(divisors.max()))
        expected = rope_divisors(channels, theta, scaling)
        if divisors.shape == expected.shape and torch.allclose(expected, divisors, rtol=1e-3):
            return scaling
        raise InputError(f"{file.path}: its rotary factors (rope_freqs) are not those of Llama 3; use another file")
    if kind == "linear":
        return None if factor == 1 else RopeScaling("linear", factor)
    if kind != "none":
        raise InputError(f"{file.path}: rotary scaling {kind!r} is not supported; use another model")
    return None


def rope_divisors(channels: int, theta: float, scaling: RopeScaling) -> Tensor:
    """What a scaling divides the frequency of each pair of channels by; [channels / 2]."""
    frequencies = theta ** (-torch.arange(0, channels, 2) / channels)
    return frequencies / scaled(frequencies, scaling)


def _neighbours_apart(heads: int) -> Storage:
    """Rows of heads in which channels that turn together are neighbours; ours: first halves, then second."""
    return Storage(
        lambda tensor: tensor.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2),
        lambda tensor: tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2),
    )


def gguf_pieces(config: TransformerConfig, file: GGUFFile) -> list[Piece]:
    """Their tensors and where they lie in ours. Raises :class:`InputError` for tensors that ours has no place for."""
    pieces = all_pieces(config, fused="blk.0.attn_qkv.weight" in file.names)
    spare = sorted(file.names - {piece.theirs for piece in pieces} - {ROPE_FREQS})
    if spare:
        raise InputError(
            f"{file.path}: has a tensor {spare[0]}, for which this decoder has no place; use another model"
        )
    return pieces


def all_pieces(config: TransformerConfig, *, fused: bool) -> list[Piece]:
    """Every tensor of a file and where it lies in ours; ``fused``: queries, keys and values are one tensor."""
    kinds = ("weight", "bias") if config.norm == "layernorm" else ("weight",)
    pieces = [Piece("token_embd.weight", "embed.weight")]
    pieces += [Piece(f"output_norm.{kind}", f"norm.{kind}") for kind in kinds]
    if config.position == "learned":
        pieces.append(Piece("position_embd.weight", "positions.weight"))
    if not config.tie_word_embeddings:
        pieces.append(Piece("output.weight", "head.weight"))
    for layer in range(config.num_hidden_layers):
        pieces += _block(config, f"blk.{layer}.", f"blocks.{layer}.", fused)
    return pieces


def _block(config: TransformerConfig, theirs: str, ours: str, fused: bool) -> list[Piece]:
    kinds = ("weight", "bias") if config.bias else ("weight",)
    qkv_kinds = ("weight", "bias") if config.qkv_bias else kinds
    norms = {"attn_norm": "attention_norm", "ffn_norm": "mlp_norm"}
    if config.post_norms:
        norms |= {"post_attention_norm": "attention_out_norm", "post_ffw_norm": "mlp_out_norm"}
    if config.qk_norm:
        norms |= {"attn_q_norm": "attention.q_norm", "attn_k_norm": "attention.k_norm"}
    pieces = []
    for their, mine in norms.items():
        pieces += [Piece(f"{theirs}{their}.{kind}", f"{ours}{mine}.{kind}") for kind in kinds]
    attention = [theirs + "attn_qkv"] if fused else [f"{theirs}attn_{part}" for part in "qkv"]
    widths = qkv_widths(config)
    split = projections(attention, ours + "attention.qkv", [sum(widths)] if fused else widths, qkv_kinds)
    if config.family == "llama":
        turned = {
            theirs + "attn_q.weight": config.num_attention_heads,
            theirs + "attn_k.weight": config.num_key_value_heads,
        }
        split = [
            piece._replace(stored=_neighbours_apart(turned[piece.theirs])) if piece.theirs in turned else piece
            for piece in split
        ]
    pieces += split
    up = [theirs + "ffn_gate", theirs + "ffn_up"] if config.gated else [theirs + "ffn_up"]
    pieces += projections(up, ours + "mlp.up", [config.intermediate_size] * len(up), kinds)
    for their, mine in (("attn_output", "attention.out"), ("ffn_down", "mlp.down")):
        pieces += [Piece(f"{theirs}{their}.{kind}", f"{ours}{mine}.{kind}") for kind in kinds]
    return pieces
