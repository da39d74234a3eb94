"""Tiny GGUF files, written with the format's own library from models of transformers, as llama.cpp's converter does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf.quants import quantize
from tokenizers import pre_tokenizers

VOCAB = 300
SHAPE = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 48, "rms_norm_eps": 1e-3,
}  # fmt: skip
ROPE_3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}  # fmt: skip

# Their names of tensors inside a block, by what follows the number of the layer in transformers'.
LLAMA_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
GEMMA_NAMES = LLAMA_NAMES | {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip
NEOX_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down",
}  # fmt: skip
GPT2_NAMES = {
    "ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip
TOP_NAMES = {
    "embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output", "embed_in": "token_embd",
    "final_layer_norm": "output_norm", "embed_out": "output", "wte": "token_embd", "wpe": "position_embd",
    "ln_f": "output_norm",
}  # fmt: skip


def neighbours(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head so that channels that turn together are neighbours."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


@dataclass
class Example:
    """A model of transformers and what a file says of it."""

    arch: str
    model: Any
    names: dict[str, str]
    metadata: dict[str, Any]
    extra: dict[str, np.ndarray] = field(default_factory=dict)

    def tensors(self) -> dict[str, np.ndarray]:
        config, found = self.model.config, dict(self.extra)
        for name, parameter in self.model.named_parameters():
            stem, kind = (
                name.removeprefix("model.").removeprefix("gpt_neox.").removeprefix("transformer.").rsplit(".", 1)
            )
            value = parameter.detach().numpy()
            if stem.startswith(("layers.", "h.")):
                _, layer, rest = stem.split(".", 2)
                their = f"blk.{layer}.{self.names[rest]}.{kind}"
            else:
                their = f"{TOP_NAMES[stem]}.{kind}"
            if self.arch == "llama" and ".attn_q." in their:
                value = neighbours(value, config.num_attention_heads)
            if self.arch == "llama" and ".attn_k." in their:
                value = neighbours(value, config.num_key_value_heads)
            if self.arch == "gemma3" and their.endswith("norm.weight"):
                value = value + 1
            if self.arch == "gpt2" and ".c_" in name and kind == "weight":
                value = value.T
            if self.arch == "gptneox" and "attn_qkv" in their:
                heads = config.num_attention_heads
                value = value.reshape(heads, 3, -1, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)
            found[their] = np.ascontiguousarray(value, dtype=np.float32)
        return found


def _llama_like(arch: str, kind: str, names: dict[str, str], changes: dict[str, Any], **metadata: Any) -> Example:
    text = "Text" if kind == "Gemma3" else ""
    config = getattr(transformers, f"{kind}{text}Config")(**SHAPE | changes)
    known = {
        "attention.head_count_kv": config.num_key_value_heads, "attention.layer_norm_rms_epsilon": 1e-3,
        "embedding_length": 32, "feed_forward_length": 64, "block_count": config.num_hidden_layers,
        "context_length": 48, "attention.head_count": 4,
    }  # fmt: skip
    return Example(arch, getattr(transformers, kind + "ForCausalLM")(config), names, known | metadata)


def _layer_norm(arch: str, model: Any, names: dict[str, str], **metadata: Any) -> Example:
    known = {
        "attention.layer_norm_epsilon": 1e-5, "embedding_length": 32, "feed_forward_length": 64, "block_count": 2,
        "context_length": 48, "attention.head_count": 4,
    }  # fmt: skip
    return Example(arch, model, names, known | metadata)


def make_example(name: str) -> Example:
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}
    if name == "llama":
        example = _llama_like(name, "Llama", LLAMA_NAMES, rope, **{"rope.freq_base": 500.0, "rope.dimension_count": 8})
    elif name == "llama-3":
        changes = {"rope_parameters": ROPE_3, "head_dim": 32, "tie_word_embeddings": True}
        example = _llama_like("llama", "Llama", LLAMA_NAMES, changes, **{"rope.freq_base": 5e5})
        example.metadata |= {"attention.key_length": 32, "rope.dimension_count": 32}
        plain = 5e5 ** (-np.arange(0, 32, 2) / 32)
        example.extra["rope_freqs.weight"] = (plain / example.model.model.rotary_emb.inv_freq.numpy()).astype(
            np.float32
        )
    elif name == "llama-linear":
        changes = {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}
        scaling = {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}
        example = _llama_like("llama", "Llama", LLAMA_NAMES, changes, **scaling)
    elif name == "qwen2":
        example = _llama_like(name, "Qwen2", LLAMA_NAMES, rope, **{"rope.freq_base": 500.0})
    elif name == "qwen3":
        changes = rope | {"head_dim": 16}
        example = _llama_like(name, "Qwen3", LLAMA_NAMES, changes, **{"rope.freq_base": 500.0})
        example.metadata["attention.key_length"] = 16
    elif name == "gemma3":
        changes = {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 6, "num_hidden_layers": 7}
        metadata = {"rope.freq_base": 1e6, "attention.key_length": 16, "attention.sliding_window": 6}
        example = _llama_like(name, "Gemma3", GEMMA_NAMES, changes, **metadata)
    elif name == "gptneox":
        shape = {key: SHAPE[key] for key in SHAPE if key not in ("num_key_value_heads", "rms_norm_eps")}
        model = transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**shape, rotary_pct=0.25))
        metadata = {"rope.dimension_count": 2, "use_parallel_residual": True}
        example = _layer_norm(name, model, NEOX_NAMES, **metadata)
    else:
        config = transformers.GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_inner=64, n_positions=48)
        example = _layer_norm("gpt2", transformers.GPT2LMHeadModel(config), GPT2_NAMES)
    generator = torch.Generator().manual_seed(2)
    for parameter in example.model.parameters():
        centre = parameter.data.mean() if parameter.ndim == 1 else 0.0
        parameter.data = centre + 0.2 * torch.randn(parameter.shape, generator=generator)
    example.model.eval()
    return example


def byte_level_vocabulary() -> dict[str, Any]:
    """What a file says of a byte-level BPE tokenizer: three control tokens, one of the user's, bytes, merges."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = ["t h", "th e", "Ġ the", "i n", "1 2", "12 3"]
    tokens = ["<|end|>", "<|user|>", "<|pad|>", *letters, *(merge.replace(" ", "") for merge in merges), "<think>"]
    kinds = [3, 3, 3] + [1] * (len(tokens) - 4) + [4]
    spare = [f"[PAD{i}]" for i in range(VOCAB - len(tokens))]
    return {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": tokens + spare,
        "tokenizer.ggml.token_type": kinds + [5] * len(spare), "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.chat_template": "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}",
    }  # fmt: skip


def write_gguf(
    path: Path,
    arch: str,
    metadata: dict[str, Any],
    tensors: dict[str, np.ndarray],
    quantisation: gguf.GGMLQuantizationType | None = None,
) -> None:
    """Write a file. Matrices are quantised, vectors are not."""
    writer = gguf.GGUFWriter(path, arch)
    for key, value in metadata.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_uint32(key, value)
    for name, tensor in tensors.items():
        if quantisation is None or tensor.ndim == 1:
            writer.add_tensor(name, tensor)
        else:
            writer.add_tensor(name, quantize(tensor, quantisation), raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


Write = Callable[..., Path]


@pytest.fixture
def example() -> Callable[[str], Example]:
    return make_example


@pytest.fixture
def gguf_file(tmp_path: Path) -> Write:
    """gguf_file(example, drop=(), tensors=None, quantisation=None, **metadata): the path of a file.

    Keys of ``metadata`` have "__" for ".", and None takes a key away; what it says of the tokenizer is above.
    """

    def write(
        example: Example,
        drop: str | None = None,
        tensors: dict[str, np.ndarray] | None = None,
        quantisation: gguf.GGMLQuantizationType | None = None,
        **metadata: Any,
    ) -> Path:
        said = {f"{example.arch}.{key}": value for key, value in example.metadata.items()} | byte_level_vocabulary()
        said |= {key.replace("__", "."): value for key, value in metadata.items()}
        held = example.tensors() if tensors is None else tensors
        held = {name: tensor for name, tensor in held.items() if name != drop}
        path = tmp_path / "model.gguf"
        arch = said.pop("general.architecture", example.arch)
        write_gguf(path, arch, {key: value for key, value in said.items() if value is not None}, held, quantisation)
        return path

    return write
