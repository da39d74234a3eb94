"""A language model as one GGUF file, for llama.cpp and what is built on it: the way back of ``convert``."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
from torch import Tensor

from preceptor.errors import InputError
from preceptor.files import file_atomic
from preceptor.models.config import TransformerConfig
from preceptor.models.families.pieces import export_pieces
from preceptor.models.gguf.shape import ROPE_FREQS, all_pieces, rope_divisors
from preceptor.models.gguf.tokenizer import CONTROL, KNOWN, UNUSED, USER_DEFINED, split_like
from preceptor.models.lora import plain_state
from preceptor.models.transformer import Transformer
from preceptor.text.huggingface import Source, read_source
from preceptor.text.tokenizer import Tokenizer

Precision = Literal["f32", "f16", "q8_0"]
_KINDS = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_BLOCK = 32  # values that share a scale in q8_0; a row of another length stays f16
# Their name of a family, and whether it keeps queries, keys and values in one tensor.
_ARCHITECTURES = {
    "gpt2": ("gpt2", True),
    "gpt_neox": ("gptneox", True),
    "llama": ("llama", False),
    "mistral": ("llama", False),
    "qwen2": ("qwen2", False),
    "qwen3": ("qwen3", False),
}
_NORMAL = 1  # tokenizer.ggml.token_type


def export_gguf(model: Transformer, tokenizer: Tokenizer, path: Path, precision: Precision = "f32") -> None:
    """Write ``path``, whole or not at all; adapters are merged, vectors stay float32.

    Raises :class:`InputError` for a model or a tokenizer that the format, or llama.cpp, has no place for.
    """
    config = model.config
    refusals = {
        "masked models": not config.causal,
        "a sliding window": config.sliding_window is not None,
        config.family: config.family not in _ARCHITECTURES,
    }
    for what, refused in refusals.items():
        if refused:
            raise InputError(f"{path}: GGUF files are not written for {what}; use the Hugging Face directory")
    arch, fused = _ARCHITECTURES[config.family]
    with tempfile.TemporaryDirectory() as directory:
        tokenizer.save(Path(directory))
        words = _words(read_source(Path(directory)), tokenizer, config, path)
    theirs = replace(config, family="llama") if arch == "llama" else config
    tensors = export_pieces(all_pieces(theirs, fused=fused), plain_state(model))
    if config.rope_scaling is not None and config.rope_scaling.kind == "llama3":
        tensors[ROPE_FREQS] = rope_divisors(config.head_dim, config.rope_theta, config.rope_scaling)
    kind, file_type = _KINDS[precision]
    facts = {
        "general.name": path.stem,
        "general.file_type": int(file_type),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
    }
    facts |= {f"{arch}.{key}": value for key, value in _shape(config).items()} | words
    with file_atomic(path) as partial:
        _write(partial, arch, facts, tensors, kind)


def _write(
    path: Path, arch: str, facts: dict[str, Any], tensors: dict[str, Tensor], kind: gguf.GGMLQuantizationType
) -> None:
    writer = gguf.GGUFWriter(path, arch)
    puts: dict[type, Callable[[str, Any], None]] = {
        bool: writer.add_bool,
        str: writer.add_string,
        list: writer.add_array,
        float: writer.add_float32,
    }
    for key, value in facts.items():
        puts.get(type(value), writer.add_uint32)(key, value)
    for name, tensor in tensors.items():
        values = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
        if values.ndim == 1 or kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, values)
        elif kind == gguf.GGMLQuantizationType.F16 or values.shape[-1] % _BLOCK:
            writer.add_tensor(name, values.astype(np.float16))
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shape(config: TransformerConfig) -> dict[str, Any]:
    """The keys of an architecture, less its name."""
    norm = "attention.layer_norm_rms_epsilon" if config.norm == "rmsnorm" else "attention.layer_norm_epsilon"
    facts: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        norm: float(config.norm_eps),
    }
    if config.position == "rotary":
        turning = config.head_dim if config.rotary_dim is None else config.rotary_dim
        facts |= {"rope.freq_base": float(config.rope_theta), "rope.dimension_count": turning}
        if config.rope_scaling is not None and config.rope_scaling.kind == "linear":
            facts |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(config.rope_scaling.factor)}
    if config.family == "gpt_neox":
        facts["use_parallel_residual"] = config.parallel_residual
    return facts


def _words(source: Source, tokenizer: Tokenizer, config: TransformerConfig, path: Path) -> dict[str, Any]:
    """The keys of the tokenizer. Only byte-level BPE: how SentencePiece's merges were ranked is not kept."""
    told = json.loads(source.backend.to_str())
    if told["model"]["type"] != "BPE" or told["model"].get("byte_fallback"):
        raise InputError(f"{path}: GGUF files are written for byte-level BPE tokenizers only; use the directory")
    table = {index: token for token, index in source.backend.get_vocab(with_added_tokens=True).items()}
    added = source.backend.get_added_tokens_decoder()
    kinds = {index: CONTROL if token.special else USER_DEFINED for index, token in added.items()}
    rows = range(config.vocab_size)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in told["model"]["merges"]]
    ends = tokenizer.eos_ids
    facts: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _splitting(source, told, path),
        "tokenizer.ggml.tokens": [table.get(row, f"[PAD{row}]") for row in rows],
        "tokenizer.ggml.token_type": [kinds.get(row, _NORMAL if row in table else UNUSED) for row in rows],
        "tokenizer.ggml.eos_token_id": ends[0],
        "tokenizer.ggml.padding_token_id": tokenizer.pad_id,
        "tokenizer.ggml.add_bos_token": source.backend.encode("a").ids[:1] == [tokenizer.bos_id],
    }
    if merges:
        facts["tokenizer.ggml.merges"] = merges
    if tokenizer.bos_id is not None:
        facts["tokenizer.ggml.bos_token_id"] = tokenizer.bos_id
    if len(ends) > 1:
        facts["tokenizer.ggml.eot_token_id"] = ends[1]
    if source.template:
        facts["tokenizer.chat_template"] = source.template
    return facts


def _splitting(source: Source, told: dict[str, Any], path: Path) -> str:
    """The name of the way in which text is split before merging."""

    def steps(told: dict[str, Any]) -> tuple[list[Any], Any]:
        one = told["pre_tokenizer"] or {}
        found = one.get("pretokenizers", [one])
        # Where a token is said to begin changes no id.
        return [{key: step[key] for key in step if key != "trim_offsets"} for step in found], told["normalizer"]

    for name in KNOWN:
        backend = type(source.backend).from_str(source.backend.to_str())
        backend.normalizer = None
        split_like(backend, name)
        if steps(json.loads(backend.to_str())) == steps(told):
            return name
    raise InputError(f"{path}: llama.cpp has no name for how this tokenizer splits text; use the directory")
